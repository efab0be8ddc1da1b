import Testing

@testable import Cluster

struct IsolationMachineTests {
    private static let patience = IsolationMachine.patience

    /// The machine of `name` after it has seen the same for a time.
    private func after(
        _ nanoseconds: UInt64, name: String = "b", living: Set<String>, reached: Set<String>,
        from machine: IsolationMachine = connected
    ) -> IsolationMachine {
        var machine = machine
        machine.looked(name: name, living: living, reached: reached, now: 1000)
        machine.looked(name: name, living: living, reached: reached, now: 1000 + nanoseconds)
        return machine
    }

    private static var connected: IsolationMachine {
        var machine = IsolationMachine()
        machine.looked(name: "b", living: ["b"], reached: [], now: 0)
        return machine
    }

    @Test func `a node that is alone takes part`() {
        #expect(Self.connected.mayTake && !Self.connected.isIsolated)
    }

    @Test func `who does not reach half is known at once, though it counts as cut off only later`() {
        #expect(!IsolationMachine().reachesHalf && Self.connected.reachesHalf)
        var machine = after(0, living: ["a", "b", "c"], reached: [])
        #expect(!machine.reachesHalf && !machine.isIsolated)
        machine = after(Self.patience, living: ["a", "b", "c"], reached: [])
        #expect(!machine.reachesHalf && machine.isIsolated)
        machine = after(0, living: ["a", "b", "c"], reached: ["c"], from: machine)
        #expect(machine.reachesHalf)
    }

    @Test(
        arguments: [
            (["a", "b", "c"], ["a"]), (["a", "b", "c"], ["c"]), (["a", "b", "c", "d"], ["a"]),
            (["b", "c"], []), (["b", "c", "d", "e"], ["d"]), (["a", "b", "c", "d", "e"], ["d", "e"]), ([], []),
            (["a"], ["a"]),
        ] as [(Set<String>, Set<String>)])
    func `who reaches half of the nodes, or of a tie the half with the lowest name, is not cut off`(
        living: Set<String>, reached: Set<String>
    ) {
        let machine = after(10 * Self.patience, living: living, reached: reached)
        #expect(machine.mayTake && !machine.isIsolated)
    }

    @Test(
        arguments: [
            (["a", "b", "c"], []), (["a", "b"], []), (["a", "b", "c", "d"], ["c"]), (["a"], []),
            (["a", "b", "c", "d", "e"], ["d"]), (["a", "b", "c"], ["x", "y", "z"]),
        ] as [(Set<String>, Set<String>)])
    func `who reaches fewer for five seconds is cut off, and not before`(living: Set<String>, reached: Set<String>) {
        let doubtful = after(Self.patience - 1, living: living, reached: reached)
        #expect(doubtful.mayTake && !doubtful.isIsolated)
        let isolated = after(Self.patience, living: living, reached: reached)
        #expect(!isolated.mayTake && isolated.isIsolated)
    }

    @Test func `of two halves exactly one stays`() {
        let all: Set<String> = ["n1", "n2", "n3", "n4", "n5", "n6"]
        for mask in 0..<64 {
            let names = all.sorted()
            let side = Set(names.indices.filter { mask >> $0 & 1 == 1 }.map { names[$0] })
            let other = all.subtracting(side)
            guard side.count == other.count, let one = side.first, let two = other.first else { continue }
            let first = after(Self.patience, name: one, living: all, reached: side)
            let second = after(Self.patience, name: two, living: all, reached: other)
            #expect(first.isIsolated != second.isIsolated)
        }
    }

    @Test func `a short loss starts the five seconds anew`() {
        var machine = Self.connected
        for step in 0..<10 as Range<UInt64> {
            let begin = 1000 + step * Self.patience
            machine.looked(name: "b", living: ["a", "b", "c"], reached: [], now: begin)
            machine.looked(name: "b", living: ["a", "b", "c"], reached: [], now: begin + Self.patience - 2)
            machine.looked(name: "b", living: ["a", "b", "c"], reached: ["a"], now: begin + Self.patience - 1)
            #expect(!machine.isIsolated)
        }
    }

    @Test func `whoever was cut off takes part as soon as it reaches half again, or the others are dead`() {
        let isolated = after(Self.patience, living: ["a", "b", "c"], reached: [])
        var healed = isolated
        healed.looked(name: "b", living: ["a", "b", "c"], reached: ["a"], now: .max)
        #expect(healed.mayTake && !healed.isIsolated)
        var survivor = isolated
        survivor.looked(name: "b", living: ["b"], reached: [], now: .max)
        #expect(survivor.mayTake && !survivor.isIsolated)
    }

    @Test func `a node that starts takes nothing before it has reached half of the others`() {
        let living: Set<String> = ["a", "b", "c"]
        var starting = after(Self.patience - 1, living: living, reached: [], from: IsolationMachine())
        #expect(!starting.mayTake && !starting.isIsolated)
        let late = after(Self.patience, living: living, reached: [], from: IsolationMachine())
        #expect(late.isIsolated)
        starting.looked(name: "b", living: living, reached: ["c"], now: Self.patience)
        #expect(starting.mayTake)
    }
}
