/// What one vote says, in two bytes: the option in bits 0–2, the channel's index in bits 3–10, and bit 15 set where
/// there is a channel. The same two bytes stand in the voter table, in records and in snapshots; records use bits 13
/// and 14 on top.
struct Choice: Equatable, Sendable {
    let bits: UInt16

    static let meaningfulBits: UInt16 = 0b1000_0111_1111_1111
    static let channelBit: UInt16 = 0x8000

    @inline(__always)
    init(bits: UInt16) { self.bits = bits & Self.meaningfulBits }

    @inline(__always)
    init(option: Int, channel: Int?) {
        let base = UInt16(truncatingIfNeeded: option & 7)
        bits = channel.map { base | UInt16(truncatingIfNeeded: $0 & 0xFF) << 3 | Self.channelBit } ?? base
    }

    @inline(__always)
    var option: Int { Int(bits & 7) }

    @inline(__always)
    var channel: Int? { bits & Self.channelBit != 0 ? Int(bits >> 3 & 0xFF) : nil }
}
