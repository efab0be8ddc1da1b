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
            JSONClientCodec.encodeEventData(event, into: &data)
            var output: [UInt8] = []
            SSEWriter.appendEvent(
                name: event.body.name, epoch: event.position.epoch, seq: event.position.seq, data: data, to: &output)
            return output
        }
    }

    private static func webSocketFrame(_ payload: [UInt8], _ opcode: WebSocketOpcode, deflate: Bool) -> [UInt8] {
        var output: [UInt8] = []
        if deflate, payload.count >= deflateThresholdBytes, let small = Deflate.compressOnce(payload) {
            WebSocketFrameWriter.append(opcode: opcode, payload: small, deflated: true, to: &output)
        } else {
            WebSocketFrameWriter.append(opcode: opcode, payload: payload, deflated: false, to: &output)
        }
        return output
    }
}
