// swift-tools-version: 6.0
// A package as an app developer's: it depends on Silhouette and segments a photo. A second program takes only one of the models.

import PackageDescription

let package = Package(
    name: "Consumer",
    platforms: [.iOS(.v15), .macOS(.v12)],
    dependencies: [.package(name: "silhouette", path: "../../..")],
    targets: [
        .executableTarget(name: "Consumer", dependencies: [.product(name: "Silhouette", package: "silhouette")]),
        .executableTarget(name: "PeopleOnly", dependencies: [.product(name: "SilhouettePeople", package: "silhouette")]),
    ],
    swiftLanguageModes: [.v6]
)
