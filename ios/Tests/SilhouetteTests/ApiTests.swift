// The cases of core/segmenter/tests/api.tsv, which Rust's and Kotlin's tests run too: rotation, mirroring, regions, sizes, options,
// defaults, errors.

import Foundation
import XCTest

@testable import Silhouette

final class ApiTests: XCTestCase {
    func testEveryCaseOfTheTableHolds() throws {
        let table = try String(contentsOf: repository.appendingPathComponent("core/segmenter/tests/api.tsv"), encoding: .utf8)
        let cases = table.split(separator: "\n").dropFirst().filter { !$0.contains("swift:") }
            .map { $0.split(separator: "\t").map(String.init) }
        XCTAssertGreaterThan(cases.count, 70)
        for line in cases {
            let words = line[0].split(separator: " ").map(String.init)
            var found: String
            do {
                found = try outcome(words[0], Array(words.dropFirst()))
            } catch let error as SilhouetteError {
                found = kind(error)
            }
            XCTAssertEqual(found, line[1], line[0])
        }
    }
}

/// What a case results in, in the table's words.
private func outcome(_ what: String, _ words: [String]) throws -> String {
    switch what {
    case "frame": return try frame(words)
    case "options": return try segmented(words)
    case "default": return try defaults(words[0])
    case "message": return "\(error(words[0]))"
    case "class_index": return "\(try fixture().classIndex(of: words[0]))"
    case "output_stride": _ = try fixture().withOutputStride(integer(words[0]))
    case "bad_model": _ = try Model(data: Data(repeating: 1, count: 1000))
    case "smoothing": try smooth(split(words[0]).0, number(split(words[0]).1) / 1000)
    default: return try request(what, words.first ?? "")
    }
    return "ok"
}

/// A frame whose red values count its pixels, with the operations of `words`, and the image that is made from it.
private func frame(_ words: [String]) throws -> String {
    let (width, height) = pair(words[0])
    let pixels = Data((0..<width * height).flatMap { [UInt8($0), 0, 0, 255] })
    var frame = Frame(pixels, format: .rgba, width: width, height: height)
    for (name, value) in words.dropFirst().map(split) {
        switch name {
        case "rotated":
            guard let rotation = Rotation(degrees: integer(value)) else { return "InvalidFrame" }
            frame = frame.rotated(rotation)
        case "mirrored": frame = frame.mirrored(value == "1")
        case "cropped":
            let n = value.split(separator: ",").map { integer(String($0)) }
            frame = frame.cropped(to: Region(x: n[0], y: n[1], width: n[2], height: n[3]))
        default: fatalError(name)
        }
    }
    let picture = try segmenter().segmentNow(frame).picture(of: frame)
    let reds = stride(from: 0, to: picture.rgba.count, by: 4).map { "\(picture.rgba[$0])" }.joined(separator: ",")
    let upright = frame.uprightSize
    let region = frame.region
    return "rotation:\(frame.rotation.degrees) mirrored:\(frame.isMirrored ? 1 : 0) upright:\(upright.width)x\(upright.height) "
        + "region:\(region.x),\(region.y),\(region.width),\(region.height) pixels:\(reds)"
}

private func options(_ words: [String]) -> Options {
    var options = Options(threads: 1)
    for (name, value) in words.map(split) {
        switch name {
        case "threads": options.threads = integer(value)
        case "size": options.size = integer(value)
        case "concurrency": options.concurrency = integer(value)
        case "backend": options.backend = Backend.allCases.first { "\($0)" == value } ?? options.backend
        case "precision": options.precision = Precision.allCases.first { "\($0)" == value } ?? options.precision
        case "input_shape": options.inputShape = value == "square" ? .square : .frame
        case "output": options.output = output(value)
        default: fatalError(name)
        }
    }
    return options
}

private func output(_ word: String) -> OutputSize {
    switch word {
    case "frame": return .frame
    case "model": return .model
    default:
        let (width, height) = pair(word)
        return .given(width: width, height: height)
    }
}

private func segmented(_ words: [String]) throws -> String {
    let segmenter = try segmenter(options(words))
    // Its precision, if the case sets one.
    let found = ["f32", "f16"].first { segmenter.description.contains(", \($0),") } ?? "none"
    let computed = words.contains { $0.hasPrefix("precision:") } ? " in:\(found)" : ""
    let segmentation = try segmenter.segmentNow(waves(60, 40))
    return "size:\(segmenter.size) mask:\(segmentation.width)x\(segmentation.height)\(computed)"
}

private func defaults(_ what: String) throws -> String {
    switch what {
    case "options":
        let options = Options()
        let text = { (number: Int?) in number.map { "\($0)" } ?? "none" }
        return
            "threads:\(text(options.threads)) backend:\(options.backend) precision:\(options.precision) size:\(text(options.size)) input_shape:\(options.inputShape) "
            + "concurrency:\(text(options.concurrency)) output:\(options.output) refine:\(options.refine ? 1 : 0) "
            + "weight_cache:\(options.weightCache?.path ?? "none")"
    case "smoothing":
        let smoothing = Smoothing()
        return "half_life:\(Int(smoothing.halfLife * 1000)) longest_pause:\(Int(smoothing.longestPause * 1000))"
    case "overlay": return "opacity:\(Segmentation.overlayOpacity)"
    case "blur": return "radius:\(Segmentation.blurRadius)"
    case "polygons":
        let segmentation = try segmenter().segmentNow(waves(60, 40))
        let index = try XCTUnwrap(segmentation.shares.first).classIndex
        XCTAssertEqual(
            try segmentation.polygons(of: index), try segmentation.polygons(of: index, tolerance: 0, leastArea: 0))
        return "tolerance:0 least_area:0"
    default: fatalError(what)
    }
}

private func smooth(_ name: String, _ seconds: TimeInterval) throws {
    let smoothing = name == "half_life" ? Smoothing(halfLife: seconds) : Smoothing(longestPause: seconds)
    _ = try VideoSegmenter(segmenter(), smoothing: smoothing).segmentNow(waves(60, 40), at: 0)
}

/// A request to a segmenter, or to the segmentation of a frame of 60x40.
private func request(_ what: String, _ word: String) throws -> String {
    let frame = waves(60, 40)
    let segmenter = try segmenter()
    let segmentation = try segmenter.segmentNow(frame)
    let (name, value) = split(word)
    switch (what, name) {
    case ("resize", _):
        try segmentation.resize(to: output(value))
        return "mask:\(segmentation.width)x\(segmentation.height)"
    case ("confidence", _): _ = try segmentation.confidence(of: [integer(value)])
    case ("polygons", "class"): _ = try segmentation.polygons(of: integer(value))
    case ("polygons", "tolerance"): _ = try segmentation.polygons(of: 15, tolerance: number(value))
    case ("overlay", "opacity"): _ = try segmentation.overlay(of: frame, opacity: Float(number(value)))
    case ("blur", "radius"): _ = try segmentation.blur(of: frame, radius: Float(number(value)))
    case ("another_frame", _): _ = try segmentation.picture(of: waves(pair(value).0, pair(value).1))
    case ("timestamp", _): _ = try VideoSegmenter(segmenter).segmentNow(frame, at: number(value))
    case ("segment_after_close", _):
        segmenter.close()
        _ = try segmenter.segmentNow(frame)
    default: fatalError("\(what) \(word)")
    }
    return "ok"
}

/// `name:value`, or no name.
private func split(_ word: String) -> (String, String) {
    guard let colon = word.firstIndex(of: ":") else { return ("", word) }
    return (String(word[..<colon]), String(word[word.index(after: colon)...]))
}

private func pair(_ size: String) -> (Int, Int) {
    let sides = size.split(separator: "x").map { integer(String($0)) }
    return (sides[0], sides[1])
}

private func integer(_ word: String) -> Int {
    guard let number = Int(word) else { fatalError(word) }
    return number
}

private func number(_ word: String) -> Double {
    guard let number = Double(word) else { fatalError(word) }
    return number
}

private func kind(_ error: SilhouetteError) -> String {
    switch error {
    case .invalidFrame: "InvalidFrame"
    case .invalidModel: "InvalidModel"
    case .unsupported: "Unsupported"
    case .closed: "Closed"
    case .internal: "Internal"
    }
}

private func error(_ kind: String) -> SilhouetteError {
    let problem = SilhouetteError.Problem(reason: "why", advice: "what to do")
    switch kind {
    case "InvalidFrame": return .invalidFrame(problem)
    case "InvalidModel": return .invalidModel(problem)
    case "Unsupported": return .unsupported(problem)
    case "Closed": return .closed(problem)
    case "Internal": return .internal(problem)
    default: fatalError(kind)
    }
}
