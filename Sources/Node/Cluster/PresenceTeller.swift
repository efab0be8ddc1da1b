// Tells the owners of campaigns how many clients of this node follow them: of each loop's share of the slots, once a
// second, what has changed.

import Platform

actor PresenceTeller {
    /// Between two frames about one campaign, at least.
    static let intervalNanoseconds: UInt64 = 1_000_000_000

    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private let index: Int
    private let board: SubscriberBoard
    private let peers: PeerLanes
    private var timer: LoopTimer?

    init(_ index: Int, loop: EventLoop, board: SubscriberBoard, peers: PeerLanes) {
        self.index = index
        self.loop = loop
        self.board = board
        self.peers = peers
    }

    func start() {
        let timer = LoopTimer(on: loop) { [weak self] in self?.assumeIsolated { $0.tell() } }
        timer.schedule(afterNanoseconds: Self.intervalNanoseconds, repeatingNanoseconds: Self.intervalNanoseconds)
        self.timer = timer
    }

    func stop() {
        timer?.close()
        timer = nil
    }

    private func tell() {
        let changed = board.takeChanges(index)
        for owner in peers.owners(onLoop: index) { owner.assumeIsolated { $0.tellPresence(changed, board) } }
    }
}
