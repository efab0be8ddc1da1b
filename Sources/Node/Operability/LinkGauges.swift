// What the links between nodes carry, as metrics: frames and bytes by kind and direction, over all loops and peers.

import Cluster
import Platform

enum LinkGauges {
    static func register(in registry: MetricsRegistry, loops: [LinkLoop]) {
        let counters = loops.map(\.counters)
        func family(_ name: String, _ help: String, _ read: @escaping @Sendable (LinkCounters, FrameKind) -> UInt64) {
            registry.rendered(name, help, type: "counter") {
                FrameKind.allCases.reduce(into: "") { text, kind in
                    let total = counters.reduce(0) { $0 + read($1, kind) }
                    text += "\(name){kind=\"\(kind)\"} \(total)\n"
                }
            }
        }
        family("tumulte_link_frames_sent_total", "Frames sent to other nodes.") { $0.sent($1).frames }
        family("tumulte_link_frames_received_total", "Frames received from other nodes.") { $0.received($1).frames }
        family("tumulte_link_bytes_sent_total", "Bytes of frames sent to other nodes.") { $0.sent($1).bytes }
        family("tumulte_link_bytes_received_total", "Bytes of frames received from other nodes.") {
            $0.received($1).bytes
        }
    }
}
