// What a node knows of where slots live, as metrics.

import Cluster
import Platform

enum PlacementGauges {
    static func register(in registry: MetricsRegistry, cluster: ClusterRuntime, directory: ClusterDirectory) {
        registry.rendered("tumulte_slots", "Slots by who serves them, as this node knows.", type: "gauge") {
            let counts = directory.counts
            return [("here", counts.here), ("elsewhere", counts.elsewhere), ("nowhere", counts.nowhere)].reduce(
                into: ""
            ) {
                $0 += "tumulte_slots{served=\"\($1.0)\"} \($1.1)\n"
            }
        }
        registry.computed("tumulte_placement_version", "The newest placement table that this node has seen.") {
            [board = cluster.board] in Double(board.known.now)
        }
        registry.computed("tumulte_peers_reached", "Other nodes to which a link leads.") {
            [routes = cluster.routes] in Double(routes.reached.count)
        }
    }
}
