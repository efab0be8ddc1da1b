// Pages, health and metrics: what the node says about itself.

import Platform
import Protocol
import Web

extension Edge {
    func servePage(_ connection: Connection, _ request: HTTPRequest, _ path: String) throws(ClientError) {
        guard let page = Page.page(for: path) else { throw ClientError(.notFound, "no such path") }
        let headers: [(StaticString, String)] = [("ETag", page.etag), ("Cache-Control", Page.cacheControl)]
        if request.header("if-none-match") == page.etag {
            return respond(
                connection, status: 304, contentType: page.contentType, body: [UInt8]().span, headers: headers,
                policy: Page.contentSecurityPolicy)
        }
        respond(
            connection, status: 200, contentType: page.contentType, body: page.body.span, headers: headers,
            policy: Page.contentSecurityPolicy)
    }

    func serveHealth(
        _ connection: Connection, _ request: HTTPRequest, _ route: Route.HealthRoute
    ) throws(ClientError) {
        let health = context.health
        switch route {
        case .live:
            respond(connection, status: 200, json: Array(#"{"data":{"status":"live"}}"#.utf8))
        case .summary, .ready:
            let report = health.readiness(at: context.clock.monotonic().nanoseconds)
            let isOK = route == .summary || report.isReady
            respond(connection, status: isOK ? 200 : 503, json: report.json())
        case .details:
            try context.access.requireAdmin(request, peer: connection.stream.peer)
            respond(connection, status: 200, json: health.details(at: context.clock.monotonic().nanoseconds))
        }
    }

    func serveMetrics(_ connection: Connection, _ request: HTTPRequest) throws(ClientError) {
        try context.access.requireAdmin(request, peer: connection.stream.peer)
        var body: [UInt8] = []
        context.registry.render(into: &body)
        respond(
            connection, status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: body.span,
            policy: ResponseHeaders.apiPolicy)
    }
}
