// swift-tools-version: 6.2
//
// The layers, bottom up; the build refuses an import that is not declared here.
//
//   C wrappers ─► Protocol, Platform, Web ─► Domain, Cluster, Journal ─► Node ─► tumulte
//
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]
let shipped: [SwiftSetting] = strict + [.strictMemorySafety()]

func module(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .target(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: shipped)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
    name: "tumulte",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "tumulte", targets: ["tumulte"])],
    targets: [
        // One module map per C library; only the thin wrapper named beside it imports it.
        .systemLibrary(name: "CUV"),  // Platform/Loop
        .systemLibrary(name: "CSQLite"),  // Journal/SQLite
        .systemLibrary(name: "CSodium"),  // Platform/Crypto
        .systemLibrary(name: "CZlib"),  // Web/Deflate
        .systemLibrary(name: "CHTTPParser"),  // Web/HTTP

        module("Protocol"),
        module("Platform", ["CUV", "CSodium"]),
        module("Web", ["CHTTPParser", "CZlib"]),
        module("Domain", ["Protocol"]),
        module("Cluster", ["Protocol", "Platform"]),
        module("Journal", ["Protocol", "Platform", "CSQLite"]),
        module("Node", ["Protocol", "Platform", "Web", "Domain", "Cluster", "Journal"], exclude: ["Main"]),
        .executableTarget(
            name: "tumulte", dependencies: ["Node", "Platform"], path: "Sources/Node/Main", swiftSettings: shipped),

        tests("ProtocolTests", ["Protocol"]),
        tests("PlatformTests", ["Platform"]),
        tests("WebTests", ["Web", "CWslay"]),
        tests("DomainTests", ["Domain", "Protocol"]),
        tests("ClusterTests", ["Cluster", "Protocol", "Platform"]),
        tests("JournalTests", ["Journal", "Protocol", "Platform", "CFaultVFS", "CSQLite"]),
        .target(name: "CFaultVFS", dependencies: ["CSQLite"], path: "Tests/CFaultVFS"),  // JournalTests only
        tests("NodeTests", ["Node", "Protocol", "Platform", "Web", "Domain", "Cluster", "Journal"]),
        .systemLibrary(name: "CWslay", path: "Tests/CWslay"),  // a reference for the WebSocket tests only
    ]
)
