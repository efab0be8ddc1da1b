import Platform

/// The way to one edge, from any loop.
struct EdgeHandle: Sendable {
    let inbox: Inbox<EdgeMessage>

    /// Hands a batch over. Where the edge's queue is full, the batch stays with the caller and goes with its next one.
    func deliver(_ batch: inout [EdgeMessage]) {
        _ = inbox.post(contentsOf: &batch)
    }
}
