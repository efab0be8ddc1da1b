// One side of a connection: what it sends arrives at the other in order.

import Platform

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// `@unchecked Sendable`: a world lives on one thread.
final class Side: StreamDriver, @unchecked Sendable {
    /// What travels.
    enum Parcel: Sendable {
        case bytes([UInt8])
        /// Something that has no bytes: what a session of a database says.
        case call(@Sendable () -> Void)
        /// Nothing more comes.
        case end
        case broken
    }

    let network: Network
    let host: Host
    private var loop: EventLoop?
    /// The other side; set at once, before anything travels. Both keep each other, as the world keeps its past.
    var peer: Side {
        get {
            guard let other else { preconditionFailure("a side without another one") }
            return other
        }
        set { other = newValue }
    }
    private var other: Side?
    private var stream: TCPStream?
    /// Takes what arrives, on a side without a stream.
    var onParcel: ((Parcel) -> Void)? {
        didSet { pumpLater() }
    }
    private var isReading = false
    private(set) var isClosed = false
    private var isFinished = false
    private var isBroken = false
    private var waiting: [Parcel] = []
    /// What a cut holds up.
    private var stalled: [Parcel] = []
    private var lastArrival: UInt64 = 0

    init(_ network: Network, _ host: Host, _ loop: EventLoop?) {
        self.network = network
        self.host = host
        self.loop = loop
    }

    var isOver: Bool { isClosed || isBroken || !host.isAlive }

    // MARK: - Sending

    func send(_ parcel: Parcel) {
        guard stalled.isEmpty, !network.isCut(host, peer.host) else { return stalled.append(parcel) }
        travel(parcel, network.delay())
    }

    private func travel(_ parcel: Parcel, _ delay: UInt64) {
        let arrival = max(lastArrival + 1, network.world.time + delay)
        lastArrival = arrival
        network.world.after(arrival - network.world.time) { [peer] in peer.came(parcel) }
    }

    /// The way may be open again.
    func unstall() {
        guard !stalled.isEmpty, !network.isCut(host, peer.host) else { return }
        let parcels = stalled
        stalled = []
        let delay = network.delayAfterCut()
        for parcel in parcels { travel(parcel, delay) }
    }

    /// The process is gone: its kernel says so to the other side.
    func hostCrashed() {
        guard !isClosed else { return }
        isClosed = true
        stream = nil
        send(.broken)
    }

    // MARK: - Receiving

    private func came(_ parcel: Parcel) {
        switch parcel {
        case .end, .broken: break
        case .bytes, .call: if isClosed || !host.isAlive { return peer.send(.broken) }
        }
        receive(parcel)
    }

    /// Hands what arrived to whoever is here, in a turn of its loop.
    func receive(_ parcel: Parcel) {
        guard host.isAlive, !isClosed, !isBroken else { return }
        waiting.append(parcel)
        pumpLater()
    }

    /// Before somebody is here it is not known in whose turn.
    private func pumpLater() {
        guard !waiting.isEmpty, onParcel != nil || stream != nil && isReading else { return }
        network.world.after(0, host: host, on: loop) { [self] in pump() }
    }

    private func pump() {
        while !waiting.isEmpty, !isClosed, isReading || onParcel != nil {
            let parcel = waiting.removeFirst()
            if case .broken = parcel { isBroken = true }
            if let onParcel {
                onParcel(parcel)
            } else if let stream {
                switch parcel {
                case .bytes(let bytes): stream.arrived(bytes)
                case .call(let body): body()
                case .end: stream.peerEnded()
                case .broken: stream.broke(ECONNRESET)
                }
            }
        }
        network.ended(self)
    }

    // MARK: - The stream's side

    func attach(_ stream: TCPStream) {
        self.stream = stream
        loop = stream.loop
    }

    func setReading(_ isReading: Bool) {
        self.isReading = isReading
        pumpLater()
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        guard !isClosed, !isFinished, !isBroken else { return }
        let bytes = unsafe Array(bytes)
        network.world.note(.bytes, Checksum.of(bytes))
        send(.bytes(bytes))
    }

    func finish() {
        guard !isFinished, !isClosed else { return }
        isFinished = true
        send(.end)
    }

    func close() {
        guard !isClosed else { return }
        if !isFinished, !isBroken { send(waiting.isEmpty ? .end : .broken) }
        isClosed = true
        waiting = []
        stream = nil
        onParcel = nil
        network.ended(self)
    }
}
