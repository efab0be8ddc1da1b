// wslay as the reference: the same bytes go through it and through the parser, and both must say the same.
import CWslay

@testable import Web

/// What an endpoint says about a stream of frames, in a form that can be compared.
enum Said: Equatable {
    case text([UInt8])
    case binary([UInt8])
    case ping([UInt8])
    case pong([UInt8])
    case close(UInt16?, [UInt8])
    case violation(UInt16)
}

/// wslay's server side over a byte array.
final class WslayReference {
    fileprivate var input: ArraySlice<UInt8> = []
    fileprivate var output: [UInt8] = []
    fileprivate(set) var said: [Said] = []
    private var context: wslay_event_context_ptr?

    init(messageBytesLimit: UInt64 = 65_536) {
        var callbacks = wslay_event_callbacks()
        callbacks.recv_callback = { context, buffer, length, _, user in
            let reference = WslayReference.from(user)
            guard let buffer, !reference.input.isEmpty else {
                wslay_event_set_error(context, Int32(WSLAY_ERR_WOULDBLOCK.rawValue))
                return -1
            }
            let piece = reference.input.prefix(length)
            UnsafeMutableRawBufferPointer(start: buffer, count: length).copyBytes(from: piece)
            reference.input = reference.input.dropFirst(piece.count)
            return piece.count
        }
        callbacks.send_callback = { _, data, length, _, user in
            WslayReference.from(user).output.append(contentsOf: UnsafeBufferPointer(start: data, count: length))
            return length
        }
        callbacks.on_msg_recv_callback = { _, message, user in
            guard let message else { return }
            let reference = WslayReference.from(user)
            let bytes = Array(UnsafeBufferPointer(start: message.pointee.msg, count: message.pointee.msg_length))
            switch message.pointee.opcode {
            case 1: reference.said.append(.text(bytes))
            case 2: reference.said.append(.binary(bytes))
            case 8:
                // wslay hands out close frames whose body is wrong, too; the rule is applied here.
                let isText = String(validating: bytes.dropFirst(2), as: UTF8.self) != nil
                guard bytes.count != 1, isText else {
                    reference.said.append(.violation(bytes.count == 1 ? 1002 : 1007))
                    return
                }
                let code = message.pointee.status_code
                reference.said.append(.close(code == 0 ? nil : code, Array(bytes.dropFirst(2))))
            case 9: reference.said.append(.ping(bytes))
            default: reference.said.append(.pong(bytes))
            }
        }
        wslay_event_context_server_init(&context, &callbacks, Unmanaged.passUnretained(self).toOpaque())
        wslay_event_config_set_max_recv_msg_length(context, messageBytesLimit)
    }

    deinit { wslay_event_context_free(context) }

    private static func from(_ user: UnsafeMutableRawPointer?) -> WslayReference {
        guard let user else { preconditionFailure("wslay lost its context") }
        return Unmanaged<WslayReference>.fromOpaque(user).takeUnretainedValue()
    }

    func feed(_ bytes: ArraySlice<UInt8>) {
        input = bytes
        wslay_event_recv(context)
    }

    /// Everything said, with the violation for which wslay wants to close, if any.
    func finish() -> [Said] {
        wslay_event_send(context)
        switch said.last {
        case .close, .violation: return said
        default: break
        }
        guard wslay_event_get_close_sent(context) != 0 else { return said }
        return said + [.violation(wslay_event_get_status_code_sent(context))]
    }

    /// Feeds and forgets, for measuring.
    func drain(_ bytes: ArraySlice<UInt8>) -> Int {
        feed(bytes)
        defer { said.removeAll(keepingCapacity: true) }
        return said.count
    }
}

/// Runs the parser over a stream that arrives in pieces.
func parseFrames(_ bytes: [UInt8], pieces: [Int] = [], limit: Int = 65_536, compression: Bool = false) -> [Said] {
    var parser = WebSocketFrameParser(messageBytesLimit: limit, allowsCompression: compression)
    let inflater = MessageInflater()
    var said: [Said] = []
    var rest = bytes[...]
    var sizes = pieces.makeIterator()
    while !rest.isEmpty {
        var piece = Array(rest.prefix(max(1, sizes.next() ?? rest.count)))
        rest = rest.dropFirst(piece.count)
        piece.withUnsafeMutableBytes { buffer in
            var offset = 0
            func copy(_ payload: WebSocketPayload) -> [UInt8] { payload.withBytes(in: buffer) { Array($0) } }
            loop: while true {
                switch parser.next(in: buffer, at: &offset, inflater: inflater) {
                case .needMore: break loop
                case .text(let payload): said.append(.text(copy(payload)))
                case .binary(let payload): said.append(.binary(copy(payload)))
                case .ping(let payload): said.append(.ping(copy(payload)))
                case .pong(let payload): said.append(.pong(copy(payload)))
                case .close(let code, let reason): said.append(.close(code, copy(reason)))
                case .violation(let code, _): said.append(.violation(code))
                }
            }
            precondition(offset == buffer.count, "needMore must take the whole buffer")
        }
    }
    return said
}

/// A small seeded generator (SplitMix64), so that a failing seed can be named.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
