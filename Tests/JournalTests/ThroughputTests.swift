// Figures, printed when TUMULTE_BENCHMARK is set: rows of 500 votes of 20 bytes, one in flight for each of 64 slots.

import Foundation
import Platform
import Protocol
import Testing

@testable import Journal

@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["TUMULTE_BENCHMARK"] != nil))
struct ThroughputTests {
    @Test func `packed rows at the interface`() async throws {
        let folder = try Folder()
        let journal = try open(.sqlite, folder)
        let slots = (0..<64).map { Slot($0) }
        _ = try await journal.claim(slots)
        for width in [1, 16, 64] {
            var latencies: [UInt64] = []
            var next = try await journal.index(slots).map { $0.tail + 1 }
            let start = monotonic()
            let processor = clock()
            while monotonic() - start < 1_500_000_000 {
                let rows = (0..<width).map { index in
                    SealedRow(
                        slot: slots[index], lsn: next[index], epoch: 1000, flush: UInt128(next[index]), count: 500,
                        campaigns: [campaign(index)], payload: [UInt8](repeating: 7, count: 10_000))
                }
                let sent = monotonic()
                let outcomes = await journal.flush(rows)
                latencies.append(monotonic() - sent)
                #expect(outcomes.allSatisfy { $0 == .committed })
                for index in 0..<width { next[index] += 1 }
            }
            let seconds = Double(monotonic() - start) / 1e9
            // Unlike the latencies, nearly the same whatever else the machine does.
            let busy = Int(clock() - processor) / latencies.count
            latencies.sort()
            let rate = Double(latencies.count * width) / seconds
            print(
                "rows per flush \(width): \(Int(rate)) rows/s, \(Int(rate * 500)) votes/s,",
                "p50 \(latencies[latencies.count / 2] / 1000) µs, p99 \(latencies[latencies.count * 99 / 100] / 1000) µs,",
                "processor \(busy) µs per flush"
            )
        }
        await journal.close()
        let bytes = [UInt8](repeating: 3, count: 64 << 20)
        let start = monotonic()
        let value = Checksum.of(bytes)
        print("checksum: \(Double(bytes.count) / Double(monotonic() - start)) GB/s (\(value))")
    }
}
