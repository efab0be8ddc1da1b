import Protocol

/// The counts of a poll, in all and by channel. Channels stand in the order in which they first counted.
struct PollTally: Equatable, Sendable {
    /// By option index.
    private(set) var votes: ContiguousArray<UInt64>
    private(set) var channels: [String] = []
    /// Row by row: the options of the first channel, of the second…
    private(set) var channelVotes: ContiguousArray<UInt64> = []

    /// The largest count that a decoder accepts; sums over all channels stay far from overflow.
    static let countLimit: UInt64 = 1 << 53

    init(optionCount: Int) { votes = ContiguousArray(repeating: 0, count: optionCount) }

    /// Takes decoded counts; `nil` where they contradict each other.
    init?(votes: ContiguousArray<UInt64>, channels: [String], channelVotes: ContiguousArray<UInt64>) {
        guard channels.count <= Limits.channelsPerPollLimit, channelVotes.count == channels.count * votes.count,
            Set(channels).count == channels.count,
            votes.allSatisfy({ $0 <= Self.countLimit }), channelVotes.allSatisfy({ $0 <= Self.countLimit })
        else { return nil }
        for option in votes.indices {
            var sum: UInt64 = 0
            for channel in channels.indices { sum += channelVotes[channel * votes.count + option] }
            guard sum <= votes[option] else { return nil }
        }
        self.votes = votes
        self.channels = channels
        self.channelVotes = channelVotes
    }

    /// Whether the choice names an option and a channel that exist.
    @inline(__always)
    func allows(_ choice: Choice) -> Bool {
        choice.option < votes.count && (choice.channel.map { $0 < channels.count } ?? true)
    }

    mutating func addChannel(_ name: String) {
        channels.append(name)
        for _ in votes.indices { channelVotes.append(0) }
    }

    @inline(__always)
    mutating func add(_ choice: Choice) {
        votes[choice.option] += 1
        if let channel = choice.channel { channelVotes[channel * votes.count + choice.option] += 1 }
    }

    @inline(__always)
    mutating func remove(_ choice: Choice) {
        votes[choice.option] -= 1
        if let channel = choice.channel { channelVotes[channel * votes.count + choice.option] -= 1 }
    }

    func view(of id: PollID) -> TallyView {
        let width = votes.count
        return TallyView(
            id: id, votes: Array(votes),
            channels: channels.indices.map { index in
                ChannelTally(
                    channel: channels[index], votes: Array(channelVotes[index * width..<(index + 1) * width]))
            })
    }

    /// Bytes of the encoded form.
    var encodedBytes: Int {
        channels.reduce(2 + votes.count * 8 + channelVotes.count * 8) { $0 + 2 + $1.utf8.count }
    }
}
