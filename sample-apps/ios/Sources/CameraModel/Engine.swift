// Frames and photos to images: the segmenter, the live stream, effects. Slow work runs on tasks of its own; the main
// actor only decides and shows.

import Foundation
import Silhouette

/// Receives images.
@MainActor protocol EngineListener: AnyObject {
    /// An engine is running.
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
    /// Creates a segmenter; the app's creates one with the SDK's own model.
    public typealias Maker = @Sendable (Options) throws -> Segmenter
    /// Reads a photo.
    public typealias PhotoReader = @Sendable () async throws -> Frame

    weak var listener: (any EngineListener)?
    /// Where the camera's thread submits its frames.
    let entrance = Entrance()
    private let make: Maker
    private let look = Guarded(Look())
    private let backgrounds = Backgrounds()
    private var segmenter: Segmenter?
    private var running: Settings?
    private var wanted: Settings?
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

    public init(make: @escaping Maker = builtIn) {
        self.make = make
    }

    /// Segmenters with the SDK's own model. Its packed weights are cached in the app's caches folder, for the next start.
    public static let builtIn: Maker = { options in
        var options = options
        let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first
        options.weightCache = caches?.appendingPathComponent("weights", isDirectory: true)
        return try Segmenter(options: options)
    }

    /// Recreates the engine if the settings require it. Until the new one is ready the previous one continues.
    func configure(_ settings: Settings) {
        let before = wanted
        wanted = settings
        if settings.needsEngine(unlike: before) {
            builds += 1
            let (build, make) = (builds, make)
            Task.detached(priority: .userInitiated) { [weak self] in
                let made = Result { try make(settings.options) }
                await self?.built(made, settings, build)
            }
        } else if settings.smooths != before?.smooths, case .live = mode {
            running = settings
            begin()
        }
    }

    /// Retries what failed.
    func retry(_ settings: Settings) {
        if segmenter == nil { wanted = nil }
        configure(settings)
    }

    private func built(_ made: Result<Segmenter, any Error>, _ settings: Settings, _ build: Int) {
        guard build == builds else { return }
        switch made {
        case .success(let segmenter):
            self.segmenter?.close()
            self.segmenter = segmenter
            running = wanted ?? settings
            listener?.ready(EngineInfo(segmenter))
            begin()
        case .failure(let error):
            if let running {
                wanted = running
                listener?.settingsRefused(error.silhouette, keeping: running)
            } else {
                wanted = nil
                listener?.broken(error.silhouette)
            }
        }
    }

    /// Sets how images look from now on. A photo is redrawn.
    func show(_ look: Look) {
        self.look.with { $0 = look }
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
        wanted = nil
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
        let (run, look, backgrounds, results) = (run, look, backgrounds, live.results)
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
        let (run, look, backgrounds) = (run, look.with { $0 }, backgrounds)
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
    switch look.effect {
    case .overlay: effect = .overlay(look.foreground)
    case .blur: effect = .blur(look.foreground)
    case .cutout: effect = .cutout(look.foreground)
    case .replace:
        let (width, height) = (segmentation.pictureWidth, segmentation.pictureHeight)
        effect = .replace(look.foreground, background: backgrounds.frame(look.background, width: width, height: height))
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
            found: segmentation.shares.filter { $0.classIndex != 0 })
    }
}

extension Error {
    /// Converts to the SDK's error, which all of them are except those of a photo's reader.
    fileprivate var silhouette: SilhouetteError {
        self as? SilhouetteError ?? .internal(.init(reason: "\(self)"))
    }
}
