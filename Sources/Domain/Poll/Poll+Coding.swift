// The parts of polls that records and snapshots share, as bytes.

import Protocol

extension PollDefinition {
    func encode(into output: inout [UInt8]) {
        output.appendUUID(id.uuid)
        output.appendText(question)
        output.append(UInt8(options.count))
        for option in options { output.appendText(option) }
        output.append(type.rawValue)
        output.appendInteger(UInt32(durationSeconds))
        output.appendTimestamp(startedAt)
    }

    init(_ cursor: inout ByteCursor, _ bytes: Span<UInt8>) throws(DecodeFault) {
        let id = PollID(try cursor.uuid(bytes))
        let question = try cursor.text(bytes)
        let count = Int(try cursor.integer(UInt8.self, bytes))
        guard Self.decodableOptionCounts.contains(count) else { throw .invalidValue }
        var options: [String] = []
        for _ in 0..<count { options.append(try cursor.text(bytes)) }
        guard let type = PollType(rawValue: try cursor.integer(UInt8.self, bytes)) else { throw .invalidValue }
        let duration = Int(try cursor.integer(UInt32.self, bytes))
        guard Self.decodableDurations.contains(duration) else { throw .invalidValue }
        self.init(
            id: id, question: question, options: options, type: type, durationSeconds: duration,
            startedAt: try cursor.timestamp(bytes))
    }
}

extension PollTally {
    func encode(into output: inout [UInt8]) {
        for count in votes { output.appendInteger(count) }
        output.appendInteger(UInt16(channels.count))
        for channel in channels { output.appendText(channel) }
        for count in channelVotes { output.appendInteger(count) }
    }

    init(optionCount: Int, _ cursor: inout ByteCursor, _ bytes: Span<UInt8>) throws(DecodeFault) {
        var votes = ContiguousArray<UInt64>()
        for _ in 0..<optionCount { votes.append(try cursor.integer(UInt64.self, bytes)) }
        let count = Int(try cursor.integer(UInt16.self, bytes))
        guard count <= Limits.channelsPerPollLimit else { throw .invalidValue }
        var channels: [String] = []
        for _ in 0..<count { channels.append(try cursor.text(bytes)) }
        var channelVotes = ContiguousArray<UInt64>()
        for _ in 0..<count * optionCount { channelVotes.append(try cursor.integer(UInt64.self, bytes)) }
        guard let tally = PollTally(votes: votes, channels: channels, channelVotes: channelVotes) else {
            throw .inconsistent
        }
        self = tally
    }
}
