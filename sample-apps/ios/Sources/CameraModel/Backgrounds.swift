// The backgrounds that come with the app. They are computed, so they add no megabytes.

import Foundation
import Silhouette

/// Draws backgrounds and keeps the last one. They are soft, so a quarter of the image's size is enough; the SDK scales them.
final class Backgrounds: Sendable {
    private struct Key: Hashable {
        let background: Background
        let width: Int
        let height: Int
    }

    private let kept = Guarded<(key: Key, frame: Frame)?>(nil)
    private let own = Guarded<Frame?>(nil)

    /// The user's own photo, for ``Background/photo``.
    func setOwn(_ frame: Frame) { own.with { $0 = frame } }

    /// A background for an image of this size. Until the user's photo is loaded, ``Background/photo`` is the studio.
    func frame(_ background: Background, width: Int, height: Int) -> Frame {
        if background == .photo, let frame = own.with({ $0 }) { return frame }
        let key = Key(background: background, width: max(width / 4, 8), height: max(height / 4, 8))
        return kept.with { kept in
            if let kept, kept.key == key { return kept.frame }
            let frame = Self.draw(background, key.width, key.height)
            kept = (key, frame)
            return frame
        }
    }

    /// Draws a background.
    static func draw(_ background: Background, _ width: Int, _ height: Int) -> Frame {
        var rgba = Data(count: width * height * 4)
        let scene = Scene(background, Double(width) / Double(height))
        rgba.withUnsafeMutableBytes { (bytes: UnsafeMutableRawBufferPointer) in
            for y in 0..<height {
                for x in 0..<width {
                    let color = scene.color((Double(x) + 0.5) / Double(width), (Double(y) + 0.5) / Double(height))
                    let pixel = (y * width + x) * 4
                    for channel in 0..<3 { bytes[pixel + channel] = UInt8(min(max(color[channel] * 255, 0), 255)) }
                    bytes[pixel + 3] = 255
                }
            }
        }
        return Frame(rgba, format: .rgba, width: width, height: height)
    }
}

/// A background as a function of the position, both coordinates 0 to 1.
private struct Scene {
    typealias Color = SIMD3<Double>
    private let background: Background
    private let aspect: Double

    init(_ background: Background, _ aspect: Double) {
        self.background = background
        self.aspect = aspect
    }

    func color(_ x: Double, _ y: Double) -> Color {
        switch background {
        case .dusk: dusk(x, y)
        case .forest: forest(x, y)
        case .studio, .photo: studio(x, y)
        case .grid: grid(x, y)
        }
    }

    private func dusk(_ x: Double, _ y: Double) -> Color {
        var color = sky(y, [0x2B1B54, 0xB4476F, 0xFFB36B])
        color = glow(color, x - 0.68, y - 0.6, 0.34, 0xFFE3A8)
        for (top, swing, waves, hill) in [
            (0.70, 0.035, 1.3, 0x7A3560), (0.79, 0.045, 2.1, 0x4A2350), (0.90, 0.03, 1.1, 0x24143A),
        ] {
            let turn = 2 * Double.pi
            let wave = sin((x * waves + top * 7) * turn) + 0.4 * sin((x * waves * 2.7 + top) * turn)
            if y > top + swing * wave { color = rgb(hill) }
        }
        return color
    }

    private func forest(_ x: Double, _ y: Double) -> Color {
        var color = sky(y, [0xBFE3D6, 0x7DBFA6, 0x2F7A66])
        color = glow(color, x - 0.3, y - 0.18, 0.4, 0xF4FFE9)
        for (foot, number, tree) in [(0.55, 9.0, 0x6AAE95), (0.68, 7.0, 0x3D836D), (0.84, 5.0, 0x1B5245)] {
            let place = x * number
            let index = place.rounded(.down)
            // Uneven, but the same each time.
            let tall = 0.2 + 0.07 * (index * 37 + number * 11).truncatingRemainder(dividingBy: 7) / 7
            let aside = abs(place - index - 0.5) * 2
            if y > foot - tall * (1 - aside) { color = rgb(tree) }
        }
        return color
    }

    private func studio(_ x: Double, _ y: Double) -> Color {
        glow(sky(y, [0xE9EAEE, 0xD4D7DE, 0xA9AFBB]), x - 0.5, y - 0.38, 0.75, 0xFFFFFF)
    }

    private func grid(_ x: Double, _ y: Double) -> Color {
        var color = glow(sky(y, [0x0B1026, 0x131A3C, 0x251A52]), x - 0.5, y - 0.55, 0.5, 0x4C3FB0)
        let horizon = 0.58
        guard y > horizon else { return color }
        // A floor: the further down, the nearer.
        let near = (y - horizon) / (1 - horizon)
        let across = (x - 0.5) / (0.05 + near) * 6
        let along = 1.2 / (0.05 + near)
        let line = min(abs(across - across.rounded()) * (0.05 + near), abs(along - along.rounded()) * near)
        if line < 0.02 { color += (rgb(0x47E5D0) - color) * 0.4 }
        return color
    }

    private func sky(_ y: Double, _ colors: [Int]) -> Color {
        let place = y * Double(colors.count - 1)
        let index = min(Int(place), colors.count - 2)
        let a = rgb(colors[index])
        let b = rgb(colors[index + 1])
        return a + (b - a) * (place - Double(index))
    }

    private func glow(_ under: Color, _ x: Double, _ y: Double, _ radius: Double, _ color: Int) -> Color {
        let distance = (x * x * min(aspect, 1) * min(aspect, 1) + y * y).squareRoot() / radius
        return under + (rgb(color) - under) * max(0, 1 - distance)
    }

    private func rgb(_ hex: Int) -> Color {
        Color(Double(hex >> 16 & 255), Double(hex >> 8 & 255), Double(hex & 255)) / 255
    }
}

/// A value that one thread at a time accesses.
final class Guarded<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) { self.value = value }

    func with<R>(_ body: (inout Value) throws -> R) rethrows -> R {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
