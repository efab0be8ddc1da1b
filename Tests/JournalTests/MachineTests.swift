// The lease and the circuit breaker as what they are: values that are told what happened and when.

import Testing

@testable import Journal

@Suite struct MachineTests {
    private static let second: UInt64 = 1_000_000_000
    private static let start: UInt64 = 100 * second

    enum LeaseEvent: Sendable {
        case renewed(sent: Double, answered: Double)
        case failed
        case reconnected
        case lost
    }

    struct LeaseCase: Sendable {
        let events: [LeaseEvent]
        /// When it is asked, in seconds after the start.
        let at: Double
        let holds: Bool
        let mayAccuse: Bool
    }

    private static func at(_ seconds: Double) -> UInt64 { start + UInt64(seconds * Double(second)) }

    @Test(arguments: [
        LeaseCase(events: [], at: 0, holds: false, mayAccuse: false),
        LeaseCase(events: [.renewed(sent: 0, answered: 0.1)], at: 2.2, holds: true, mayAccuse: false),
        // The deadline counts from the sending, however late the answer.
        LeaseCase(events: [.renewed(sent: 0, answered: 2)], at: 2.24, holds: true, mayAccuse: false),
        LeaseCase(events: [.renewed(sent: 0, answered: 0.1)], at: 2.25, holds: false, mayAccuse: false),
        // Suspended, then held again.
        LeaseCase(
            events: [.renewed(sent: 0, answered: 0.1), .failed, .renewed(sent: 5, answered: 5.1)], at: 5.2, holds: true,
            mayAccuse: false),
        // An older answer does not shorten it.
        LeaseCase(
            events: [.renewed(sent: 1, answered: 1.1), .renewed(sent: 0, answered: 1.2)], at: 3.2, holds: true,
            mayAccuse: false),
        // Three seconds of prompt renewals, and not a moment less.
        LeaseCase(
            events: (0...2).map { .renewed(sent: Double($0), answered: Double($0) + 0.1) }, at: 2.99, holds: true,
            mayAccuse: false),
        LeaseCase(
            events: (0...2).map { .renewed(sent: Double($0), answered: Double($0) + 0.1) }, at: 3, holds: true,
            mayAccuse: true),
        LeaseCase(
            events: (0...2).map { .renewed(sent: Double($0), answered: Double($0) + ($0 == 1 ? 0.8 : 0.1)) }, at: 4,
            holds: true, mayAccuse: false),
        LeaseCase(
            events: [.renewed(sent: 0, answered: 0.1), .failed, .renewed(sent: 2, answered: 2.1)], at: 3.5, holds: true,
            mayAccuse: false),
        // The node stood still, and the others may have done so with it.
        LeaseCase(
            events: [0, 1, 2, 3, 7].map { .renewed(sent: $0, answered: $0 + 0.1) }, at: 7.2, holds: true,
            mayAccuse: false),
        LeaseCase(
            events: [0, 1, 2, 3, 7, 8, 9].map { .renewed(sent: $0, answered: $0 + 0.1) }, at: 10, holds: true,
            mayAccuse: true),
        // A server that was restarted between two renewals may have met another node in the middle of one.
        LeaseCase(
            events: [.renewed(sent: 0, answered: 0.1), .reconnected, .renewed(sent: 1, answered: 1.1)], at: 3.2,
            holds: true, mayAccuse: false),
        LeaseCase(
            events: [
                .renewed(sent: 0, answered: 0.1), .reconnected, .renewed(sent: 1, answered: 1.1),
                .renewed(sent: 3, answered: 3.1),
            ], at: 4, holds: true, mayAccuse: true),
        // Dead is dead.
        LeaseCase(
            events: [.renewed(sent: 0, answered: 0.1), .lost, .renewed(sent: 1, answered: 1.1)], at: 1.2, holds: false,
            mayAccuse: false),
    ])
    func `a lease holds from the sending of a renewal to a margin before its end`(_ example: LeaseCase) {
        var lease = LeaseMachine()
        for event in example.events {
            switch event {
            case .renewed(let sent, let answered): lease.renewed(sentAt: Self.at(sent), now: Self.at(answered))
            case .failed: lease.failed()
            case .reconnected: lease.reconnected()
            case .lost: lease.lost()
            }
        }
        #expect(lease.holds(at: Self.at(example.at)) == example.holds)
        #expect(lease.mayAccuse(at: Self.at(example.at)) == example.mayAccuse)
    }

    @Test func `a breaker opens after two failures and lets one attempt decide`() {
        var breaker = CircuitBreaker()
        var isAdmitted = breaker.admits(at: 0)
        #expect(isAdmitted)
        breaker.failed(at: 0, spread: 0)
        isAdmitted = breaker.admits(at: 0)
        #expect(isAdmitted)
        breaker.failed(at: 0, spread: 1)
        isAdmitted = breaker.admits(at: CircuitBreaker.firstPause - 1)
        #expect(!isAdmitted)
        isAdmitted = breaker.admits(at: CircuitBreaker.firstPause)
        #expect(isAdmitted)
        isAdmitted = breaker.admits(at: CircuitBreaker.firstPause)
        #expect(!isAdmitted)
        breaker.succeeded()
        isAdmitted = breaker.admits(at: CircuitBreaker.firstPause)
        #expect(isAdmitted)
        #expect(breaker.failures == 0)
    }

    @Test(arguments: [
        (failures: 2, pause: UInt64(50_000_000)), (3, 100_000_000), (4, 200_000_000), (7, 1_000_000_000),
        (100, 1_000_000_000),
    ])
    func `the pause doubles up to a second, and half of it is spread`(failures: Int, pause: UInt64) {
        for (spread, share) in [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0), (7.0, 1.0), (-1.0, 0.5)] {
            var breaker = CircuitBreaker()
            for _ in 0..<failures { breaker.failed(at: 5, spread: spread) }
            let end = 5 + UInt64(Double(pause) * share)
            var isAdmitted = breaker.admits(at: end - 1)
            #expect(!isAdmitted)
            isAdmitted = breaker.admits(at: end)
            #expect(isAdmitted)
        }
    }
}
