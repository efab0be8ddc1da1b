// A binary heap: what comes first is at hand, whatever the order in which things were put in.

/// Least elements first. Pushing and popping take time logarithmic in the count.
public struct MinHeap<Element: Comparable> {
    private var elements: [Element] = []

    /// Makes an empty one.
    public init() {}

    /// The least element.
    public var first: Element? { elements.first }

    /// Puts one in.
    public mutating func push(_ element: Element) {
        elements.append(element)
        var child = elements.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard elements[child] < elements[parent] else { return }
            elements.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes the least one out; `nil` from an empty heap.
    public mutating func pop() -> Element? {
        guard let first = elements.first, let last = elements.popLast() else { return nil }
        guard !elements.isEmpty else { return first }
        elements[0] = last
        var parent = 0
        while true {
            var least = parent
            let (left, right) = (2 * parent + 1, 2 * parent + 2)
            if left < elements.count, elements[left] < elements[least] { least = left }
            if right < elements.count, elements[right] < elements[least] { least = right }
            guard least != parent else { return first }
            elements.swapAt(parent, least)
            parent = least
        }
    }
}

extension MinHeap: Sendable where Element: Sendable {}
