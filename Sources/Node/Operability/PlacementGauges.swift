// What a node knows of where slots live, as metrics.

import Cluster
import Platform

enum PlacementGauges {
    static func register(in registry: MetricsRegistry, cluster: ClusterRuntime, directory: ClusterDirectory) {
        registry.rendered("tumulte_slots", "Slots by who serves them, as this node knows.", type: "gauge") {
            let (here, elsewhere, nowhere) = directory.counts
            return [("here", here), ("elsewhere", elsewhere), ("nowhere", nowhere)]
                .map { "tumulte_slots{served=\"\($0)\"} \($1)\n" }.joined()
        }
        registry.computed("tumulte_placement_version", "The newest placement table that this node has seen.") {
            [board = cluster.board] in Double(board.known.now)
        }
        registry.computed("tumulte_peers_reached", "Other nodes to which a link leads.") {
            [routes = cluster.routes] in Double(routes.reached.count)
        }
    }
}
