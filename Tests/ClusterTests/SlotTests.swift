import Platform
import Protocol
import Testing

@testable import Cluster

@Suite(.timeLimit(.minutes(1)))
struct SlotTests {
    @Test func `the sole owner has every slot`() {
        let directory = SoleOwnerDirectory()
        #expect(directory.home.count == Slot.count)
        #expect(Set(directory.home).count == Slot.count)
        #expect(directory.home.allSatisfy { directory.owner(of: $0) == .local })
    }
}
