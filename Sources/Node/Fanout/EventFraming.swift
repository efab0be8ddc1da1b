// From an event to the bytes of one wire form. Payloads below the threshold are never deflated, even where the peer
// agreed to it: they would hardly shrink, and inflating costs the receiver.

import Protocol
import Web

enum EventFraming {
    /// Payload bytes from which deflate is used, where negotiated.
    static let deflateThresholdBytes = 1024

    static func frame(of event: ServerEvent, _ variant: WireVariant) -> [UInt8] {
        switch variant {
        case .json, .jsonDeflated:
            var payload: [UInt8] = []
            JSONClientCodec.encode(.event(event), into: &payload)
            return webSocketFrame(payload, .text, deflate: variant == .jsonDeflated)
        case .binary, .binaryDeflated:
            var payload: [UInt8] = []
            BinaryClientCodec.encode(.event(event), into: &payload)
            return webSocketFrame(payload, .binary, deflate: variant == .binaryDeflated)
        case .sse:
            var data: [UInt8] = []
            JSONViews.eventData(event.body, to: &data)
            var output: [UInt8] = []
            ServerSentEvents.append(
                event: event.body.name.description, position: (event.position.epoch, event.position.seq), data: data,
                into: &output)
            return output
        }
    }

    private static func webSocketFrame(_ payload: [UInt8], _ opcode: WebSocketOpcode, deflate: Bool) -> [UInt8] {
        var output: [UInt8] = []
        if deflate, payload.count >= deflateThresholdBytes {
            WebSocketFrame.append(opcode, MessageDeflater().compress(payload), isCompressed: true, into: &output)
        } else {
            WebSocketFrame.append(opcode, payload, into: &output)
        }
        return output
    }
}
