// swift-tools-version: 6.2
//
// The layers, bottom up; the build refuses an import that is not declared here.
//
//   C wrappers ─► Protocol, Platform, Web, Postgres, Redis ─► Domain, Cluster, Journal ─► Node ─► Simulation ─► tumulte
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

func module(
    _ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = [], resources: [Resource] = []
) -> Target {
    .target(name: name, dependencies: dependencies, exclude: exclude, resources: resources, swiftSettings: shipped)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// A libFuzzer target from `Fuzz/<name>/Fuzz.swift`; `scripts/fuzz.sh` builds and runs it.
func fuzzer(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: "Fuzz\(name)", dependencies: dependencies + ["CFuzzer"], path: "Fuzz/\(name)", exclude: ["corpus"],
        swiftSettings: shipped)
}

/// The fuzzers exist only where `TUMULTE_FUZZ` is set, so that nothing else is built with their flags.
let fuzzers: [Target] =
    Context.environment["TUMULTE_FUZZ"] == nil
    ? []
    : [
        .systemLibrary(name: "CFuzzer", path: "Fuzz/CFuzzer"),
        fuzzer("JSONCodec", ["Protocol"]),
        fuzzer("BinaryCodec", ["Protocol"]),
        fuzzer("HTTP", ["Web"]),
        fuzzer("WebSocket", ["Web"]),
        fuzzer("ClusterFrame", ["Cluster", "Platform"]),
    ]

/// The loads of `Benchmarks/journal.sh` and `forward.sh`; they exist only where `TUMULTE_BENCH` is set.
let benchmarks: [Target] =
    Context.environment["TUMULTE_BENCH"] == nil
    ? []
    : [
        .executableTarget(
            name: "JournalBench", dependencies: ["Journal", "Platform", "Postgres", "Protocol"],
            path: "Benchmarks/Journal", swiftSettings: shipped),
        .executableTarget(
            name: "LinkBench", dependencies: ["Cluster", "Platform", "Protocol"], path: "Benchmarks/Forward",
            swiftSettings: shipped),
    ]

let package = Package(
    name: "tumulte",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "tumulte", targets: ["tumulte"])],
    targets: [
        // One module map per C library; only the thin wrapper named beside it imports it.
        .systemLibrary(name: "CUV"),  // Platform/Loop
        .systemLibrary(name: "CSQLite"),  // Journal/SQLite
        .systemLibrary(name: "CSodium"),  // Platform/Crypto
        .systemLibrary(name: "CPostgres"),  // Postgres/LibPQ
        .systemLibrary(name: "CHiredis"),  // Redis/Hiredis
        .systemLibrary(name: "CZlib"),  // Web/Deflate
        .systemLibrary(name: "CHTTPParser"),  // Web/HTTP

        module("Protocol"),
        module("Platform", ["Protocol", "CUV", "CSodium"]),
        module("Web", ["CHTTPParser", "CZlib"]),
        module("Postgres", ["Protocol", "Platform", "CPostgres"]),
        module("Redis", ["Platform", "CHiredis"]),
        module("Domain", ["Protocol"]),
        module("Cluster", ["Protocol", "Platform"]),
        module("Journal", ["Protocol", "Platform", "Postgres", "CSQLite"]),
        // The pages are compiled into the binary.
        module(
            "Node", ["Protocol", "Platform", "Web", "Postgres", "Redis", "Domain", "Cluster", "Journal"],
            exclude: ["Main"], resources: [.embedInCode("Pages/Assets")]),
        // A cluster in one thread: twins of what is outside the nodes, and the checks.
        module("Simulation", ["Protocol", "Platform", "Postgres", "Redis", "Cluster", "Journal", "Node"]),
        .executableTarget(
            name: "tumulte", dependencies: ["Node", "Platform", "Simulation"], path: "Sources/Node/Main",
            swiftSettings: shipped),

        .target(name: "TestSupport", dependencies: ["Platform"], path: "Tests/Support", swiftSettings: strict),
        tests("ProtocolTests", ["Protocol"]),
        tests("PlatformTests", ["Platform", "Protocol", "TestSupport"]),
        tests("WebTests", ["Web", "CWslay"]),
        tests("PostgresTests", ["Postgres", "Protocol", "Platform", "TestSupport"]),
        tests("RedisTests", ["Redis", "Platform", "TestSupport"]),
        tests("DomainTests", ["Domain", "Protocol"]),
        tests("ClusterTests", ["Cluster", "Protocol", "Platform", "TestSupport"]),
        tests("JournalTests", ["Journal", "Protocol", "Platform", "Postgres", "CFaultVFS", "CSQLite", "TestSupport"]),
        .target(name: "CFaultVFS", dependencies: ["CSQLite"], path: "Tests/CFaultVFS"),  // JournalTests only
        tests(
            "NodeTests",
            [
                "Node", "Protocol", "Platform", "Web", "Postgres", "Redis", "Domain", "Cluster", "Journal",
                "TestSupport",
            ]),
        tests("SimulationTests", ["Simulation", "Platform", "Postgres"]),
        .systemLibrary(name: "CWslay", path: "Tests/CWslay"),  // a reference for the WebSocket tests only
    ] + fuzzers + benchmarks
)
