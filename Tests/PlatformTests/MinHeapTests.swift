import Platform
import Testing

struct MinHeapTests {
    @Test func `what comes out is in order, whatever the order in which it came in`() {
        let random = SeededRandom(seed: 3)
        for count in [0, 1, 2, 3, 4, 7, 8, 500] {
            var heap = MinHeap<UInt64>()
            let elements = (0..<count).map { _ in random.next() % 100 }
            for element in elements { heap.push(element) }
            var popped: [UInt64] = []
            while let first = heap.first {
                #expect(heap.pop() == first)
                popped.append(first)
            }
            #expect(popped == elements.sorted())
            #expect(heap.pop() == nil)
        }
    }

    @Test func `pushes and pops may alternate`() {
        let random = SeededRandom(seed: 4)
        var heap = MinHeap<UInt64>()
        var model: [UInt64] = []
        for _ in 0..<2000 {
            if random.next() % 5 < 3 {
                let element = random.next() % 1000
                heap.push(element)
                model.append(element)
                model.sort()
            } else {
                #expect(heap.pop() == (model.isEmpty ? nil : model.removeFirst()))
            }
            #expect(heap.first == model.first)
        }
    }
}
