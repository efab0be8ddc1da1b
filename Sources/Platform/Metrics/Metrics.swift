// Counters, gauges and histograms in Prometheus' text format (version 0.0.4). Labels are fixed when a metric is
// registered; nothing that a client sends becomes a label.

import Synchronization

/// A number that only grows. Adding is one relaxed atomic addition.
public final class Counter: Sendable {
    private let storage = Atomic<UInt64>(0)

    /// Starts at zero.
    public init() {}

    /// The value now.
    public var value: UInt64 { storage.load(ordering: .relaxed) }

    /// Adds one.
    @inline(__always)
    public func increment() { storage.add(1, ordering: .relaxed) }

    /// Adds several.
    @inline(__always)
    public func add(_ count: UInt64) { storage.add(count, ordering: .relaxed) }
}

/// A number that goes up and down.
public final class Gauge: Sendable {
    private let storage = Atomic<Int>(0)

    /// Starts at zero.
    public init() {}

    /// The value now.
    public var value: Int { storage.load(ordering: .relaxed) }

    /// Adds, or subtracts where negative.
    @inline(__always)
    public func add(_ difference: Int) { storage.add(difference, ordering: .relaxed) }

    /// Sets the value.
    public func set(_ value: Int) { storage.store(value, ordering: .relaxed) }
}

/// How values spread over fixed upper bounds.
public final class Histogram: Sendable {
    /// Upper bounds of the buckets, ascending; a last one without bound follows.
    public let bounds: [Double]
    private struct State {
        var counts: [UInt64]
        var sum = 0.0
    }
    private let state: Locked<State>

    /// Makes empty buckets.
    public init(bounds: [Double]) {
        self.bounds = bounds
        state = Locked(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    /// Bounds for durations of disk and network, in seconds.
    public static let latencyBounds: [Double] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    /// Takes in one value.
    public func observe(_ value: Double) {
        guard !value.isNaN else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
        }
    }

    fileprivate var snapshot: (counts: [UInt64], sum: Double) { state.withLock { ($0.counts, $0.sum) } }
}

/// All metrics of a process, in the order of registration.
public final class MetricsRegistry: Sendable {
    private enum Source: Sendable {
        case counter(Counter)
        case gauge(Gauge)
        case histogram(Histogram)
        case computed(@Sendable () -> Double)
        case rendered(@Sendable () -> String)
    }

    private struct Entry: Sendable {
        let name: String
        let help: String
        let type: String
        let labels: String
        let source: Source
    }

    private let entries = Locked<[Entry]>([])

    /// An empty registry.
    public init() {}

    /// Registers a counter. `labels` are fixed pairs of names and values.
    public func counter(_ name: String, _ help: String, labels: [(String, String)] = []) -> Counter {
        let counter = Counter()
        add(name, help, "counter", labels, .counter(counter))
        return counter
    }

    /// Registers a gauge.
    public func gauge(_ name: String, _ help: String, labels: [(String, String)] = []) -> Gauge {
        let gauge = Gauge()
        add(name, help, "gauge", labels, .gauge(gauge))
        return gauge
    }

    /// Registers a histogram.
    public func histogram(_ name: String, _ help: String, bounds: [Double]) -> Histogram {
        let histogram = Histogram(bounds: bounds)
        add(name, help, "histogram", [], .histogram(histogram))
        return histogram
    }

    /// Registers a value that is read when metrics are asked for.
    public func computed(
        _ name: String, _ help: String, type: String = "gauge", _ read: @escaping @Sendable () -> Double
    ) {
        add(name, help, type, [], .computed(read))
    }

    /// Registers lines that are made when metrics are asked for; each begins with `name` and ends in a line break.
    public func rendered(_ name: String, _ help: String, type: String, _ lines: @escaping @Sendable () -> String) {
        add(name, help, type, [], .rendered(lines))
    }

    private func add(_ name: String, _ help: String, _ type: String, _ labels: [(String, String)], _ source: Source) {
        let text = labels.map { "\($0.0)=\"\($0.1)\"" }.joined(separator: ",")
        entries.withLock {
            $0.append(Entry(name: name, help: help, type: type, labels: text, source: source))
        }
    }

    /// Appends everything in Prometheus' text format.
    public func render(into output: inout [UInt8]) {
        let entries = entries.withLock { $0 }
        var described: Set<String> = []
        // The format wants all lines of one name together.
        for first in entries where described.insert(first.name).inserted {
            output.append(contentsOf: "# HELP \(first.name) \(first.help)\n# TYPE \(first.name) \(first.type)\n".utf8)
            for entry in entries where entry.name == first.name { Self.render(entry, into: &output) }
        }
    }

    /// A number as the format writes it; Swift's own words for infinity and for no number are others.
    private static func text(_ number: Double) -> String {
        if number.isNaN { return "NaN" }
        if number.isInfinite { return number < 0 ? "-Inf" : "+Inf" }
        return String(number)
    }

    private static func render(_ entry: Entry, into output: inout [UInt8]) {
        let labels = entry.labels.isEmpty ? "" : "{\(entry.labels)}"
        switch entry.source {
        case .counter(let counter): output.append(contentsOf: "\(entry.name)\(labels) \(counter.value)\n".utf8)
        case .gauge(let gauge): output.append(contentsOf: "\(entry.name)\(labels) \(gauge.value)\n".utf8)
        case .computed(let read): output.append(contentsOf: "\(entry.name)\(labels) \(text(read()))\n".utf8)
        case .rendered(let lines): output.append(contentsOf: lines().utf8)
        case .histogram(let histogram):
            let (counts, sum) = histogram.snapshot
            var total: UInt64 = 0
            for (index, count) in counts.enumerated() {
                total += count
                let bound = index < histogram.bounds.count ? String(histogram.bounds[index]) : "+Inf"
                output.append(contentsOf: "\(entry.name)_bucket{le=\"\(bound)\"} \(total)\n".utf8)
            }
            output.append(contentsOf: "\(entry.name)_sum \(text(sum))\n\(entry.name)_count \(total)\n".utf8)
        }
    }
}
