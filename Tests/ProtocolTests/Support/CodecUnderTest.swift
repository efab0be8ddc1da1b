// Both encodings behind plain values, so that one test body can be run with each.

import Protocol
import Testing

/// An encoding as a test argument.
enum CodecUnderTest: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case json
    case binary

    var testDescription: String { rawValue }

    func encode(_ message: ClientMessage) -> [UInt8] {
        var output: [UInt8] = []
        switch self {
        case .json: JSONClientCodec.encode(message, into: &output)
        case .binary: BinaryClientCodec.encode(message, into: &output)
        }
        return output
    }

    func encode(_ message: ServerMessage) -> [UInt8] {
        var output: [UInt8] = []
        switch self {
        case .json: JSONClientCodec.encode(message, into: &output)
        case .binary: BinaryClientCodec.encode(message, into: &output)
        }
        return output
    }

    func decode(_ bytes: [UInt8]) throws(ClientDecodeError) -> ClientMessage {
        switch self {
        case .json: try JSONClientCodec.decode(bytes.span)
        case .binary: try BinaryClientCodec.decode(bytes.span)
        }
    }

    func decodeServer(_ bytes: [UInt8]) throws(ClientDecodeError) -> ServerMessage {
        switch self {
        case .json: try JSONClientCodec.decodeServer(bytes.span)
        case .binary: try BinaryClientCodec.decodeServer(bytes.span)
        }
    }

    /// The error that decoding a client's message ends with, or `nil`.
    func refusal(_ bytes: [UInt8]) -> ClientDecodeError? {
        do throws(ClientDecodeError) {
            _ = try decode(bytes)
            return nil
        } catch { return error }
    }
}
