// Queries and wishes about placement: whoever may ask is let through to the desk, which answers when it knows.

import Platform
import Protocol
import Web

extension Edge {
    func serveAdmin(
        _ connection: Connection, _ request: HTTPRequest, _ route: Route.AdminRoute
    ) throws(ClientError) {
        try context.access.requireAdmin(request, peer: connection.stream.peer)
        let query: AdminQuery
        switch route {
        case .placement: query = .placement(withOwners: HTTPQuery(request.query)?["owners"] == "1")
        case .campaign(let campaign): query = .campaign(campaign)
        case .slot(let slot): query = .slot(slot)
        case .timeline(let slot): query = .timeline(slot)
        case .plan: query = .plan(try PlanQuery.changes(HTTPQuery(request.query)))
        case .diff: query = .diff
        case .drain(let name): query = .drain(name, isAsked: request.method == .post)
        case .unpin(let campaign): query = .unpin(campaign)
        case .pin(let campaign): query = .pin(campaign, node: try PinBody.node(request.body))
        }
        let asked = AdminRequest(
            query: query, ticket: ticket(connection), askedAt: context.clock.monotonic().nanoseconds)
        guard context.admin.post(asked) else {
            throw ClientError(.overloaded, "too many admin queries are waiting", retryAfterMilliseconds: 1000)
        }
        connection.outstanding += 1
    }
}
