// swift-tools-version: 6.0
// The Swift package. It is at the repository's root, because SwiftPM looks for packages nowhere else; its sources are in
// ios/. Below it is the Rust library: on Apple's systems as an XCFramework, on Linux (for tests and servers) as a shared
// library that `scripts/build-host` builds and pkg-config finds.

import PackageDescription

/// The XCFramework of a release: its address and SHA-256. A release's tag contains them; a checkout has none, and uses the
/// output of `scripts/build-ios`.
let release: (url: String, checksum: String)? = nil

#if os(Linux)
    let library = Target.systemLibrary(name: "CSilhouette", path: "ios/Sources/CSilhouette", pkgConfig: "silhouette-ffi")
#else
    let library: Target =
        if let release {
            .binaryTarget(name: "CSilhouette", url: release.url, checksum: release.checksum)
        } else {
            .binaryTarget(name: "CSilhouette", path: "build/ios/Silhouette.xcframework")
        }
#endif

let package = Package(
    name: "silhouette",
    platforms: [.iOS(.v15), .macOS(.v12)],
    // The module is Silhouette in each of them: with every model, with one, with none (for models of your own).
    products: [
        .library(name: "Silhouette", targets: ["Silhouette", "SilhouettePeople", "SilhouetteVOC21"]),
        .library(name: "SilhouettePeople", targets: ["Silhouette", "SilhouettePeople"]),
        .library(name: "SilhouetteVOC21", targets: ["Silhouette", "SilhouetteVOC21"]),
        .library(name: "SilhouetteCore", targets: ["Silhouette"]),
    ],
    targets: [
        library,
        .target(name: "SilhouetteFFI", dependencies: ["CSilhouette"], path: "ios/Sources/SilhouetteFFI"),
        // Silhouette finds the weights at run time, next to its own resources: it depends on neither.
        .target(
            name: "SilhouettePeople", path: "core/segmenter/models",
            exclude: ["README.md", "VOC21.swift", "silhouette-voc21.safetensors"], sources: ["People.swift"],
            resources: [.copy("silhouette-person.safetensors")]),
        .target(
            name: "SilhouetteVOC21", path: "core/segmenter/models",
            exclude: ["README.md", "People.swift", "silhouette-person.safetensors"], sources: ["VOC21.swift"],
            resources: [.copy("silhouette-voc21.safetensors")]),
        .target(
            name: "Silhouette", dependencies: ["CSilhouette", "SilhouetteFFI"],
            path: "ios/Sources/Silhouette", resources: [.copy("Resources/PrivacyInfo.xcprivacy")]),
        // For scripts/bench/bindings.
        .executableTarget(name: "CameraSpeed", dependencies: ["Silhouette"], path: "ios/Tests/CameraSpeed"),
        .testTarget(
            name: "SilhouetteTests", dependencies: ["Silhouette", "SilhouettePeople", "SilhouetteVOC21"],
            path: "ios/Tests/SilhouetteTests"),
    ],
    swiftLanguageModes: [.v6]
)
