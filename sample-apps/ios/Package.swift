// swift-tools-version: 6.0
// The sample app's model as a package, so that it is built and tested without Xcode too. The app's project
// (App/SilhouetteCamera.xcodeproj) uses it from here.

import PackageDescription

let package = Package(
    name: "SilhouetteCamera",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "CameraModel", targets: ["CameraModel"])],
    dependencies: [.package(name: "silhouette", path: "../..")],
    targets: [
        .target(name: "CameraModel", dependencies: [.product(name: "Silhouette", package: "silhouette")]),
        .testTarget(name: "CameraModelTests", dependencies: ["CameraModel"]),
    ],
    swiftLanguageModes: [.v6]
)
