// The table of routes: from a method and a path to what is asked for. Pure, so that every line of it can be tested.

import Cluster
import Protocol
import Web

/// What an HTTP request asks for.
enum Route: Equatable {
    case page(String)
    case health(HealthRoute)
    case metrics
    case webSocket
    case createCampaign
    case readCampaign(CampaignID)
    case updateCampaign(CampaignID)
    case deleteCampaign(CampaignID)
    case launchPoll(CampaignID)
    case readPolls(CampaignID)
    case readPoll(CampaignID, PollID)
    case cancelPoll(CampaignID, PollID)
    case vote(CampaignID, PollID)
    case signal(CampaignID)
    case events(CampaignID)
    case verify(CampaignID)
    case admin(AdminRoute)

    /// Queries and wishes about placement.
    enum AdminRoute: Equatable {
        case placement
        case campaign(CampaignID)
        case slot(Slot)
        case timeline(Slot)
        case plan
        case diff
        /// By `POST` it is wished, by `DELETE` no longer.
        case drain(String)
        case pin(CampaignID)
        case unpin(CampaignID)
    }

    enum HealthRoute: String {
        case summary = "/health", live = "/health/live", ready = "/health/ready", details = "/health/details"
    }

    /// The route's name in logs and metrics: never holds an id.
    var label: StaticString {
        switch self {
        case .page: "page"
        case .health: "/health"
        case .metrics: "/metrics"
        case .webSocket: "/v1/ws"
        case .createCampaign: "/v1/campaigns"
        case .readCampaign, .updateCampaign, .deleteCampaign: "/v1/campaigns/{id}"
        case .launchPoll, .readPolls: "/v1/campaigns/{id}/polls"
        case .readPoll: "/v1/campaigns/{id}/polls/{poll}"
        case .cancelPoll: "/v1/campaigns/{id}/polls/{poll}/cancel"
        case .vote: "/v1/campaigns/{id}/polls/{poll}/votes"
        case .signal: "/v1/campaigns/{id}/signals"
        case .events: "/v1/campaigns/{id}/events"
        case .verify: "/admin/campaigns/{id}/verify"
        case .admin(.placement): "/admin/placement"
        case .admin(.campaign): "/admin/placement/campaigns/{id}"
        case .admin(.slot): "/admin/placement/slots/{n}"
        case .admin(.timeline): "/admin/placement/slots/{n}/timeline"
        case .admin(.plan): "/admin/placement/plan"
        case .admin(.diff): "/admin/placement/diff"
        case .admin(.drain): "/admin/nodes/{name}/drain"
        case .admin(.pin), .admin(.unpin): "/admin/placement/pins/{campaign}"
        }
    }
}

/// Why no route answers.
enum RouteMiss: Error, Equatable {
    case notFound
    /// The path exists for other methods, listed as in the `Allow` header.
    case methodNotAllowed(allow: String)
    /// An id in the path is not in its one accepted form.
    case badIdentifier
    /// A slot in the path is no number of one.
    case badSlot
}

enum Routes {
    /// Finds the route of a request; `path` is decoded and has no query.
    static func match(_ method: HTTPMethod, _ path: String) -> Result<Route, RouteMiss> {
        if path.hasPrefix("/v1/") { return matchAPI(method, path) }
        if path.hasPrefix("/admin/") { return matchAdmin(method, path) }
        if let health = Route.HealthRoute(rawValue: path) { return read(method, .health(health)) }
        if path == "/metrics" { return read(method, .metrics) }
        return read(method, .page(path))
    }

    private static func read(_ method: HTTPMethod, _ route: Route) -> Result<Route, RouteMiss> {
        switch method {
        case .get, .head: .success(route)
        default: .failure(.methodNotAllowed(allow: "GET, HEAD"))
        }
    }

    private static func write(_ method: HTTPMethod, _ route: Route) -> Result<Route, RouteMiss> {
        method == .post ? .success(route) : .failure(.methodNotAllowed(allow: "POST"))
    }

    private static func matchAdmin(_ method: HTTPMethod, _ path: String) -> Result<Route, RouteMiss> {
        let parts = Array(path.split(separator: "/", omittingEmptySubsequences: false).dropFirst(2))
        if parts[0] == "placement" { return matchPlacement(method, parts.dropFirst()) }
        if parts.count >= 3, parts[0] == "nodes", parts.last == "drain" {
            // A name may hold slashes.
            let name = parts[1..<(parts.count - 1)].joined(separator: "/")
            guard Cluster.NodeIdentity.isName(name) else { return .failure(.notFound) }
            guard method == .post || method == .delete else {
                return .failure(.methodNotAllowed(allow: "POST, DELETE"))
            }
            return .success(.admin(.drain(name)))
        }
        guard parts.count == 3, parts[0] == "campaigns", parts[2] == "verify" else { return .failure(.notFound) }
        guard let campaign = UUIDv7(String(parts[1])) else { return .failure(.badIdentifier) }
        return write(method, .verify(CampaignID(campaign)))
    }

    private static func matchPlacement(
        _ method: HTTPMethod, _ parts: ArraySlice<Substring>
    ) -> Result<Route, RouteMiss> {
        guard let first = parts.first else { return read(method, .admin(.placement)) }
        let rest = Array(parts.dropFirst())
        switch (first, rest.count) {
        case ("plan", 0): return read(method, .admin(.plan))
        case ("diff", 0): return read(method, .admin(.diff))
        case ("campaigns", 1):
            guard let campaign = UUIDv7(String(rest[0])) else { return .failure(.badIdentifier) }
            return read(method, .admin(.campaign(CampaignID(campaign))))
        case ("pins", 1):
            guard let uuid = UUIDv7(String(rest[0])) else { return .failure(.badIdentifier) }
            switch method {
            case .post: return .success(.admin(.pin(CampaignID(uuid))))
            case .delete: return .success(.admin(.unpin(CampaignID(uuid))))
            default: return .failure(.methodNotAllowed(allow: "POST, DELETE"))
            }
        case ("slots", 1), ("slots", 2):
            guard rest.count == 1 || rest[1] == "timeline" else { return .failure(.notFound) }
            guard let slot = Slot(text: rest[0]) else { return .failure(.badSlot) }
            return read(method, .admin(rest.count == 1 ? .slot(slot) : .timeline(slot)))
        default: return .failure(.notFound)
        }
    }

    private static func matchAPI(_ method: HTTPMethod, _ path: String) -> Result<Route, RouteMiss> {
        let parts = Array(path.split(separator: "/", omittingEmptySubsequences: false).dropFirst(2))
        if parts == ["ws"] {
            return method == .get ? .success(.webSocket) : .failure(.methodNotAllowed(allow: "GET"))
        }
        guard parts.first == "campaigns", parts.count <= 5 else { return .failure(.notFound) }
        if parts.count == 1 { return write(method, .createCampaign) }
        guard let uuid = UUIDv7(String(parts[1])) else { return .failure(.badIdentifier) }
        let campaign = CampaignID(uuid)
        switch parts.count {
        case 2:
            switch method {
            case .get, .head: return .success(.readCampaign(campaign))
            case .patch: return .success(.updateCampaign(campaign))
            case .delete: return .success(.deleteCampaign(campaign))
            default: return .failure(.methodNotAllowed(allow: "GET, HEAD, PATCH, DELETE"))
            }
        case 3:
            switch parts[2] {
            case "polls":
                switch method {
                case .get, .head: return .success(.readPolls(campaign))
                case .post: return .success(.launchPoll(campaign))
                default: return .failure(.methodNotAllowed(allow: "GET, HEAD, POST"))
                }
            case "signals": return write(method, .signal(campaign))
            case "events":
                return method == .get ? .success(.events(campaign)) : .failure(.methodNotAllowed(allow: "GET"))
            default: return .failure(.notFound)
            }
        default: return matchPoll(method, campaign, parts)
        }
    }

    private static func matchPoll(
        _ method: HTTPMethod, _ campaign: CampaignID, _ parts: [Substring]
    ) -> Result<Route, RouteMiss> {
        guard parts[2] == "polls" else { return .failure(.notFound) }
        guard let uuid = UUIDv7(String(parts[3])) else { return .failure(.badIdentifier) }
        let poll = PollID(uuid)
        if parts.count == 4 { return read(method, .readPoll(campaign, poll)) }
        switch parts[4] {
        case "cancel": return write(method, .cancelPoll(campaign, poll))
        case "votes": return write(method, .vote(campaign, poll))
        default: return .failure(.notFound)
        }
    }
}

extension Slot {
    /// Reads a slot's number as people write it: decimal digits without a leading zero.
    init?(text: some StringProtocol) {
        guard let index = UInt16(text), index < Slot.count, String(index) == text else { return nil }
        self.init(index)
    }
}
