// One message between two nodes, as a value. `docs/PROTOCOL.md` specifies it byte by byte: a header of fixed width with
// everything that a node on the way needs (whose slot, under which epoch, how long the sender still waits, how many
// nodes it has passed), a few optional fields, the body, and a checksum over all of it.
//
// The link knows headers alone; bodies belong to whoever sends and receives them.

public import Protocol

/// The layout of frames and its bounds.
public enum ClusterFrame {
    /// The first two bytes behind the length: `Tu`.
    static let magic: UInt16 = 0x7554
    /// The version of the frame's layout; another one is refused.
    public static let layoutVersion: UInt8 = 1
    /// Bytes of the header, the length included.
    public static let headerBytes = 42
    /// Bytes of the checksum, which ends the frame.
    public static let checksumBytes = 8
    /// Bytes of the optional fields.
    public static let optionsBytesLimit = 255
    /// Bytes of a whole frame.
    public static let frameBytesLimit = 1 << 20
    /// Bytes of a body; whatever optional fields a frame has, one of this length fits.
    public static let bodyBytesLimit = frameBytesLimit - headerBytes - optionsBytesLimit - checksumBytes
    /// Milliseconds that a sender may still wait.
    public static let remainingMillisecondsLimit: UInt32 = 60_000
    /// Nodes that a frame may pass, the first receiver included.
    public static let hopsLimit: UInt8 = 3
    /// The slot's number where a frame is about none.
    static let noSlot: UInt16 = 0xFFFF

    /// Bytes of a frame as it travels.
    static func byteCount(_ header: FrameHeader, bodyBytes: Int) -> Int {
        headerBytes + header.optionsBytes + bodyBytes + checksumBytes
    }
}

/// What a frame is for. Numbers are for ever; those that are missing here are refused.
public enum FrameKind: UInt8, Sendable, CaseIterable {
    /// The dialer says who it is.
    case hello = 0x01
    /// The listener says who it is.
    case challenge = 0x02
    /// The dialer shows that it knows the cluster's secret.
    case proof = 0x03
    /// The listener shows the same; the link is open.
    case welcome = 0x04
    /// Either side ends a handshake, with the reason.
    case refusal = 0x05

    /// The dialer asks whether the listener lives.
    case ping = 0x10
    /// It does; the request id is the ping's.
    case pong = 0x11
    /// The listener takes no further requests and answers those that it has.
    case goodbye = 0x12
    /// The dialer wishes to speak with another node by way of the listener: the target of the header.
    case relay = 0x13
    /// From here on the listener passes bytes on between the dialer and the target.
    case relayed = 0x14

    /// Something for the owner of a slot, which one answer follows.
    case request = 0x20
    /// The answer of the owner.
    case reply = 0x21
    /// The answer of a node that did nothing: a `PeerError`.
    case error = 0x22

    /// The dialer wishes to get a campaign's events; answered as a request is.
    case subscribe = 0x30
    /// No longer; not answered.
    case unsubscribe = 0x31
    /// Something happened in a campaign that the dialer has subscribed to.
    case event = 0x32
    /// The slot has gone elsewhere: a `MovedNotice`. The last event frame of the slot on this link.
    case moved = 0x33
    /// How many clients of the dialer's node follow a campaign that it has subscribed to; not answered.
    case presence = 0x34

    // 0x40–0x4F are kept for the hand-off of slots.

    /// Whether it belongs to the time before a link is open.
    var isOfHandshake: Bool { rawValue < 0x10 }
}

/// Marks on a frame. Of bits 0–7 a receiver ignores those that it does not know; of bits 8–15 it refuses them.
public struct FrameFlags: OptionSet, Hashable, Sendable {
    /// The bits.
    public let rawValue: UInt16

    /// Takes the bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The command may have been delivered before, and carries what makes a second delivery harmless.
    public static let again = FrameFlags(rawValue: 1)
    /// Kept for frames that a node passes on by themselves; no release sends it.
    public static let relayed = FrameFlags(rawValue: 2)

    /// Bits that a receiver must know: none is defined yet.
    static let mustKnow = FrameFlags(rawValue: 0xFF00)
}

/// Everything of a frame but its body.
public struct FrameHeader: Hashable, Sendable {
    /// What the frame is for.
    public var kind: FrameKind
    /// Marks.
    public var flags: FrameFlags
    /// The version of the sender's placement table: whoever has an older one reads the newer.
    public var tableVersion: UInt64
    /// The slot, or `nil` where the frame is about none.
    public var slot: Slot?
    /// Of a request, the epoch under which the sender believes the slot to be served; of anything else, the one under
    /// which it is. 0 where it is not known.
    public var epoch: UInt64
    /// What an answer repeats, so that the sender finds its request again; unique per link; 0 elsewhere.
    public var request: UInt64
    /// Milliseconds that the sender still waits, at most `ClusterFrame.remainingMillisecondsLimit`; a duration, since
    /// clocks differ. 0 on what does not wait.
    public var remainingMilliseconds: UInt32
    /// Nodes that the frame has passed; the first receiver of a command sees 1.
    public var hops: UInt8
    /// The incarnation that the frame is for, where it is not the receiver.
    public var target: UInt128?

    /// A header with everything beside the kind at rest.
    public init(
        _ kind: FrameKind, flags: FrameFlags = [], tableVersion: UInt64 = 0, slot: Slot? = nil, epoch: UInt64 = 0,
        request: UInt64 = 0, remainingMilliseconds: UInt32 = 0, hops: UInt8 = 0, target: UInt128? = nil
    ) {
        self.kind = kind
        self.flags = flags
        self.tableVersion = tableVersion
        self.slot = slot
        self.epoch = epoch
        self.request = request
        self.remainingMilliseconds = remainingMilliseconds
        self.hops = hops
        self.target = target
    }

    /// Tag and length of an optional field take two bytes.
    var optionsBytes: Int { target == nil ? 0 : 2 + 16 }
}

/// Tags of optional fields. Below 128 an unknown one is skipped, from 128 on it is refused.
enum FrameOption {
    static let target: UInt8 = 1
    static let mustKnow: UInt8 = 128
}

/// Why bytes are not a frame. None can be answered: where the next frame would begin is not known.
public enum FrameError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The first bytes are not those of a frame.
    case notAFrame
    /// A layout that this release does not know.
    case unknownLayout(UInt8)
    /// A length below the shortest frame's or above the limit.
    case badLength(UInt32)
    /// A number of no kind.
    case unknownKind(UInt8)
    /// What arrived is not what was sent.
    case badChecksum
    /// A mark that must be known, and is not.
    case unknownFlags(UInt16)
    /// Optional fields that do not add up, stand twice, or must be known and are not.
    case badOptions
    /// A field out of its bounds: its name.
    case badField(StaticField)

    /// The fields that have bounds of their own.
    public enum StaticField: Hashable, Sendable { case slot, remaining }

    /// A few words for the log.
    public var description: String {
        switch self {
        case .notAFrame: "bytes that are no frame"
        case .unknownLayout(let version): "frame layout \(version), \(ClusterFrame.layoutVersion) is known"
        case .badLength(let length): "a frame of \(length) bytes"
        case .unknownKind(let number): "a frame of unknown kind \(number)"
        case .badChecksum: "a frame that does not match its checksum"
        case .unknownFlags(let bits): "flags \(bits), some of which must be known"
        case .badOptions: "optional fields that cannot be read"
        case .badField(let field): "\(field) out of bounds"
        }
    }
}
