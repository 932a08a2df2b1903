// Frames and photos to images: the segmenter, the live stream, effects. Slow work runs on tasks of its own; the main
// actor only decides and shows. One model runs at a time: where a look needs another, the old one continues until the new
// one is open, and is then closed.

import Foundation
import Silhouette

/// Receives images.
@MainActor protocol EngineListener: AnyObject {
    /// A model runs, the first one or another.
    func ready(_ info: EngineInfo)
    /// An image of the stream or of the photo, and how it was rendered.
    func show(_ picture: Picture, _ stats: Stats)
    /// The photo cannot be read.
    func photoUnreadable()
    /// New settings do not work; the previous engine keeps running.
    func settingsRefused(_ error: SilhouetteError, keeping settings: Settings)
    /// Nothing works.
    func broken(_ error: SilhouetteError)
}

/// Renders images from frames and photos.
@MainActor public final class Engine {
    /// Where the models come from: the app's are the SDK's own.
    public struct Models: Sendable {
        /// Creates a segmenter with a model.
        let segmenter: @Sendable (ModelName, Options) throws -> Segmenter
        /// ``ModelName/voc21``, for the names of its classes; the weights are not read.
        let classes: @Sendable () throws -> Model
    }
    /// Reads a photo.
    public typealias PhotoReader = @Sendable () async throws -> Frame

    weak var listener: (any EngineListener)?
    /// Where the camera's thread submits its frames.
    let entrance = Entrance()
    private let models: Models
    private let look = Guarded(Look())
    private let backgrounds = Backgrounds()
    private var segmenter: Segmenter?
    private var running: Settings?
    private var requested: Settings?
    private var classes: Model?
    /// What ``segmenter`` was made of, and what the next one will be; equal if none is being made.
    private var ready: Opening?
    private var opening: Opening?
    private var builds = 0
    private var mode = Mode.idle
    /// Counts starts: images of an earlier stream or photo are not shown.
    private var run = 0
    private var work: Task<Void, Never>?
    private var still: (frame: Frame, segmentation: Segmentation)?
    /// Whether a photo is being drawn, and whether the look changed meanwhile.
    private var drawing = false
    private var drawAgain = false

    private enum Mode {
        case idle
        case live
        case photo(PhotoReader)
    }

    /// What a segmenter is made of.
    private struct Opening: Equatable {
        let model: ModelName
        let options: Options
    }

    public init(models: Models = .packaged) {
        self.models = models
    }

    /// Runs the engine with these settings. What they need is opened; until it is ready the previous engine continues.
    func configure(_ settings: Settings) {
        let before = requested
        requested = settings
        guard !open(settings), opening == ready, settings != before else { return }
        running = settings
        announce()
        if settings.smooths != before?.smooths, case .live = mode { begin() }
    }

    /// Begins to open what settings and look need; false if it is open, or being opened.
    private func open(_ settings: Settings) -> Bool {
        let person = classes?.labels.firstIndex(of: "person")
        let needed = Opening(model: settings.model(for: look.with { $0 }, person: person), options: settings.options)
        guard needed != opening else { return false }
        opening = needed
        builds += 1
        guard needed != ready else { return false }
        let build = builds
        let models = models
        let known = classes
        Task.detached(priority: .userInitiated) { [weak self] in
            let made = Result {
                (segmenter: try models.segmenter(needed.model, needed.options), classes: try known ?? models.classes())
            }
            await self?.built(made, needed, settings, build)
        }
        return true
    }

    /// Retries what failed.
    func retry(_ settings: Settings) {
        if segmenter == nil { requested = nil }
        configure(settings)
    }

    private func built(
        _ made: Result<(segmenter: Segmenter, classes: Model), any Error>, _ opened: Opening, _ settings: Settings, _ build: Int
    ) {
        guard build == builds else {
            // A later choice needs another one.
            if case .success(let made) = made { made.segmenter.close() }
            return
        }
        switch made {
        case .success(let made):
            segmenter?.close()
            (segmenter, classes, ready) = (made.segmenter, made.classes, opened)
            running = requested ?? settings
            announce()
            begin()
            // Now that the classes are known, the look may be about people alone.
            if let requested { _ = open(requested) }
        case .failure(let error):
            opening = ready
            if let running, running != settings {
                requested = running
                listener?.settingsRefused(error.silhouette, keeping: running)
            } else {
                requested = nil
                listener?.broken(error.silhouette)
            }
        }
    }

    private func announce() {
        guard let segmenter, let classes, let ready else { return }
        let choosesClasses = running?.model != .people
        listener?.ready(EngineInfo(segmenter, ready.model, classes: classes, choosesClasses: choosesClasses))
    }

    /// Sets how images look from now on, with the model that suits it. A photo is redrawn.
    func show(_ look: Look) {
        self.look.with { $0 = look }
        if let requested, open(requested) { return }
        draw()
    }

    /// A photo as background.
    func setOwnBackground(_ frame: Frame) {
        backgrounds.setOwn(frame)
        draw()
    }

    /// Accepts frames from now on.
    func startLive() {
        mode = .live
        begin()
    }

    /// Shows this photo instead of frames.
    func openPhoto(_ photo: @escaping PhotoReader) {
        mode = .photo(photo)
        begin()
    }

    /// Stops frames and photo: no image is delivered after this.
    func stop() {
        mode = .idle
        leave()
    }

    /// Frees everything, permanently.
    func close() {
        stop()
        builds += 1
        segmenter?.close()
        segmenter = nil
        requested = nil
        (ready, opening) = (nil, nil)
    }

    private func leave() {
        run += 1
        work?.cancel()
        work = nil
        still = nil
        entrance.open(nil)
    }

    /// Starts the requested work with the existing engine.
    private func begin() {
        leave()
        guard let segmenter else { return }
        switch mode {
        case .idle: break
        case .live: beginLive(segmenter)
        case .photo(let photo): beginPhoto(segmenter, photo)
        }
    }

    private func beginLive(_ segmenter: Segmenter) {
        let live: LiveSegmenter
        do {
            live = try LiveSegmenter(segmenter, smoothing: running?.smooths == false ? nil : Smoothing())
        } catch {
            listener?.broken(error.silhouette)
            return
        }
        entrance.open(live)
        let run = run
        let look = look
        let backgrounds = backgrounds
        let results = live.results
        // One image is drawn at a time, and the next result is read only once it is on the screen: meanwhile the stream
        // keeps the latest one.
        work = Task.detached(priority: .userInitiated) { [weak self] in
            var meter = Meter()
            for await result in results {
                do {
                    let segmentation = try result.segmentation.get()
                    let began = Date()
                    let made = try picture(segmentation, look.with { $0 }, backgrounds)
                    meter.count()
                    let stats = Stats(segmentation, effect: -began.timeIntervalSinceNow, meter, dropped: result.dropped)
                    await self?.shown(made, stats, run)
                } catch SilhouetteError.closed {
                    break
                } catch {
                    await self?.failed(error.silhouette, run)
                }
            }
        }
    }

    private func beginPhoto(_ segmenter: Segmenter, _ photo: @escaping PhotoReader) {
        let run = run
        work = Task.detached(priority: .userInitiated) { [weak self] in
            guard let frame = try? await photo() else {
                await self?.unreadable(run)
                return
            }
            do {
                let segmentation = try await segmenter.segment(frame)
                await self?.segmented(frame, segmentation, run)
            } catch is CancellationError {
            } catch SilhouetteError.invalidFrame {
                await self?.unreadable(run)
            } catch {
                await self?.failed(error.silhouette, run)
            }
        }
    }

    private func segmented(_ frame: Frame, _ segmentation: Segmentation, _ run: Int) {
        guard run == self.run else { return }
        still = (frame, segmentation)
        draw()
    }

    /// Draws the photo; while one drawing is running, only the last requested look follows it.
    private func draw() {
        guard let still else { return }
        guard !drawing else {
            drawAgain = true
            return
        }
        drawing = true
        let run = run
        let look = look.with { $0 }
        let backgrounds = backgrounds
        Task.detached(priority: .userInitiated) { [weak self] in
            let began = Date()
            let made = Result { try picture(still.segmentation, look, backgrounds, of: still.frame) }
            await self?.drawn(made, still.segmentation, -began.timeIntervalSinceNow, run)
        }
    }

    private func drawn(_ picture: Result<Picture, any Error>, _ segmentation: Segmentation, _ took: Double, _ run: Int) {
        drawing = false
        let again = drawAgain || run != self.run
        drawAgain = false
        switch picture {
        case .success(let picture): shown(picture, Stats(segmentation, effect: took, Meter(), dropped: 0), run)
        case .failure(let error): failed(error.silhouette, run)
        }
        if again { draw() }
    }

    private func shown(_ picture: Picture, _ stats: Stats, _ run: Int) {
        if run == self.run { listener?.show(picture, stats) }
    }

    private func unreadable(_ run: Int) {
        if run == self.run { listener?.photoUnreadable() }
    }

    private func failed(_ error: SilhouetteError, _ run: Int) {
        if run == self.run { listener?.broken(error) }
    }
}

extension Engine.Models {
    /// The SDK's own. Their packed weights are cached in the app's caches folder, for the next start.
    public static let packaged = Self(
        segmenter: { name, options in
            var options = options
            let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first
            options.weightCache = caches?.appendingPathComponent("weights", isDirectory: true)
            let model =
                switch name {
                case .people: try Model.people()
                case .voc21: try Model.voc21()
                }
            return try Segmenter(model: model, options: options)
        },
        classes: { try Model.voc21() })
}

/// Receives frames, from the camera's thread.
public final class Entrance: Sendable {
    private let live = Guarded<LiveSegmenter?>(nil)

    /// Sends frames to this stream from now on; the previous one ends.
    func open(_ stream: LiveSegmenter?) {
        let before = live.with { live in
            defer { live = stream }
            return live
        }
        before?.close()
    }

    /// Accepts a frame or drops it, never blocks.
    func submit(_ frame: Frame, at timestamp: TimeInterval) throws {
        guard let live = live.with({ $0 }) else { return }
        do {
            try live.submit(frame, at: timestamp)
        } catch SilhouetteError.closed {
            // The stream ended between the two lines above.
        }
    }
}

/// Renders an image from a segmentation.
private func picture(
    _ segmentation: Segmentation, _ look: Look, _ backgrounds: Backgrounds, of frame: Frame? = nil
) throws -> Picture {
    let effect: Effect
    let foreground = look.foreground(segmentation.model.task)
    switch look.effect {
    case .overlay: effect = .overlay(foreground)
    case .blur: effect = .blur(foreground)
    case .cutout: effect = .cutout(foreground)
    case .replace:
        let width = segmentation.frameSize.width
        let height = segmentation.frameSize.height
        effect = .replace(foreground, background: backgrounds.frame(look.background, width: width, height: height))
    }
    return try segmentation.render(effect, of: frame)
}

/// Counts images.
private struct Meter {
    private(set) var pictures = 0
    private var times: [Date] = []

    mutating func count() {
        pictures += 1
        times.append(Date())
        if times.count > 30 { times.removeFirst() }
    }

    /// Images per second over the last 30.
    var rate: Double {
        guard let first = times.first, let last = times.last, last > first else { return 0 }
        return Double(times.count - 1) / last.timeIntervalSince(first)
    }
}

extension Stats {
    fileprivate init(_ segmentation: Segmentation, effect: Double, _ meter: Meter, dropped: Int) {
        let timings = segmentation.timings
        self.init(
            input: timings.input * 1000, network: timings.network * 1000, mask: timings.mask * 1000,
            effect: effect * 1000, rate: meter.rate, frames: meter.pictures + dropped, dropped: dropped,
            found: segmentation.shares.filter { $0.classIndex != 0 }.map {
                Found(label: segmentation.model.labels[$0.classIndex], share: $0.share)
            })
    }
}

extension Error {
    /// Converts to the SDK's error, which all of them are except those of a photo's reader.
    fileprivate var silhouette: SilhouetteError {
        self as? SilhouetteError ?? .internal(.init(reason: "\(self)"))
    }
}
