// The payload of a journal row: the records of each campaign that the row concerns, one part after another.
//
//   version (1 byte = 1), then per part: length (4 bytes, little-endian), records

/// Builds and reads the parts of a row.
struct RowPayload {
    static let version: UInt8 = 1

    private(set) var bytes: [UInt8] = [version]

    /// Appends the records of one campaign.
    mutating func append(_ records: [UInt8]) {
        let count = UInt32(records.count)
        bytes.reserveCapacity(bytes.count + 4 + records.count)
        for shift in stride(from: UInt32(0), to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: count >> shift)) }
        bytes.append(contentsOf: records)
    }

    /// The ranges of the parts, or `nil` where the payload is not one that was written here.
    static func parts(of payload: [UInt8]) -> [Range<Int>]? {
        guard payload.first == version else { return nil }
        var parts: [Range<Int>] = []
        var offset = 1
        while offset < payload.count {
            guard payload.count - offset >= 4 else { return nil }
            var count = 0
            for index in 0..<4 { count |= Int(payload[offset + index]) << (8 * index) }
            offset += 4
            guard count <= payload.count - offset else { return nil }
            parts.append(offset..<offset + count)
            offset += count
        }
        return parts
    }
}
