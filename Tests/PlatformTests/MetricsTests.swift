import TestSupport
import Testing

@testable import Platform

@Suite struct MetricsTests {
    private func text(_ registry: MetricsRegistry) -> String {
        var output: [UInt8] = []
        registry.render(into: &output)
        return String(decoding: output, as: UTF8.self)
    }

    @Test func `everything is rendered in the order of registration, lines of one name together`() {
        let registry = MetricsRegistry()
        let up = registry.counter("votes_total", "Votes.", labels: [("result", "taken"), ("via", "ws")])
        let open = registry.gauge("open", "Open connections.")
        let refused = registry.counter("votes_total", "Votes.", labels: [("result", "refused")])
        registry.computed("ratio", "A ratio.") { 0.25 }
        registry.rendered("slots", "Slots.", type: "gauge") { "slots{state=\"live\"} 3\nslots{state=\"lost\"} 1\n" }
        up.increment()
        up.add(41)
        refused.increment()
        open.add(5)
        open.add(-7)
        #expect(up.value == 42)
        #expect(open.value == -2)
        #expect(
            text(registry) == """
                # HELP votes_total Votes.
                # TYPE votes_total counter
                votes_total{result="taken",via="ws"} 42
                votes_total{result="refused"} 1
                # HELP open Open connections.
                # TYPE open gauge
                open -2
                # HELP ratio A ratio.
                # TYPE ratio gauge
                ratio 0.25
                # HELP slots Slots.
                # TYPE slots gauge
                slots{state="live"} 3
                slots{state="lost"} 1

                """)
        open.set(9)
        #expect(open.value == 9)
    }

    @Test func `a histogram counts a value in its bucket and in all above`() {
        let registry = MetricsRegistry()
        let histogram = registry.histogram("seconds", "Durations.", bounds: [0.5, 1, 2.5])
        for value in [0.25, 0.5, 0.75, 2, 100] { histogram.observe(value) }
        #expect(
            text(registry) == """
                # HELP seconds Durations.
                # TYPE seconds histogram
                seconds_bucket{le="0.5"} 2
                seconds_bucket{le="1.0"} 3
                seconds_bucket{le="2.5"} 4
                seconds_bucket{le="+Inf"} 5
                seconds_sum 103.5
                seconds_count 5

                """)
        #expect(Histogram.latencyBounds == Histogram.latencyBounds.sorted())
    }

    @Test(arguments: [(Double.nan, "NaN"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (1e300, "1e+300"), (0, "0.0")])
    func `numbers are written as the format wants them`(_ number: Double, _ expected: String) {
        let registry = MetricsRegistry()
        registry.computed("x", "X.", type: "counter") { number }
        #expect(text(registry) == "# HELP x X.\n# TYPE x counter\nx \(expected)\n")
    }

    @Test func `no addition of several threads is lost`() async {
        let registry = MetricsRegistry()
        let counter = registry.counter("a", "A.")
        let gauge = registry.gauge("b", "B.")
        let histogram = registry.histogram("c", "C.", bounds: [1])
        await withTaskGroup(of: Void.self) { tasks in
            for _ in 0..<4 {
                tasks.addTask {
                    await onThread {
                        for _ in 0..<10_000 {
                            counter.increment()
                            gauge.add(2)
                            gauge.add(-1)
                            histogram.observe(1)
                        }
                    }
                }
            }
        }
        #expect(counter.value == 40_000)
        #expect(gauge.value == 40_000)
        #expect(
            text(registry).hasSuffix(
                "c_bucket{le=\"1.0\"} 40000\nc_bucket{le=\"+Inf\"} 40000\nc_sum 40000.0\nc_count 40000\n"))
    }
}
