// What is asked about placement. Parsed by the edge, answered by the desk.

import Cluster
import Platform
import Protocol
import Web

enum AdminQuery: Sendable, Equatable {
    /// With the owner of each slot, where that is wanted.
    case placement(withOwners: Bool)
    case campaign(CampaignID)
    case slot(Slot)
    case timeline(Slot)
    case plan([PlacementPlan.Change])
    case diff
    /// A node is to give its slots away, or is taken back.
    case drain(String, isAsked: Bool)
    /// A campaign's slot is fixed to a node.
    case pin(CampaignID, node: String)
    case unpin(CampaignID)

    /// Whether it changes something.
    var isWish: Bool {
        switch self {
        case .drain, .pin, .unpin: true
        case .placement, .campaign, .slot, .timeline, .plan, .diff: false
        }
    }
}

/// A query on its way to the desk.
struct AdminRequest: Sendable {
    let query: AdminQuery
    let ticket: ReplyTicket
    /// Monotonic nanoseconds.
    let askedAt: UInt64
}

/// The body that pins a campaign: `{node}`.
enum PinBody {
    static func node(_ body: [UInt8]) throws(ClientError) -> String {
        let bytes = body.span
        guard let document = try? JSONObject.document(bytes) else {
            throw ClientError(.badRequest, "the body must be a JSON object")
        }
        guard let name = document.member("node", bytes)?.string(bytes), Cluster.NodeIdentity.isName(name) else {
            throw PlanQuery.fault("node", "must be a node's name")
        }
        return name
    }
}

enum PlanQuery {
    /// Changes that one plan may hold.
    static let changesLimit = 64
    static let weights = 1...1000

    /// The changes that a query string asks for; each name may come several times.
    static func changes(_ query: HTTPQuery?) throws(ClientError) -> [PlacementPlan.Change] {
        guard let query, query.pairs.count <= changesLimit else {
            throw ClientError(.badRequest, "the query cannot be read")
        }
        var changes: [PlacementPlan.Change] = []
        for pair in query.pairs {
            switch pair.name {
            case "join": changes.append(.join(try joining(pair.value)))
            case "leave": changes.append(.leave(try name(pair.value, "leave")))
            case "drain": changes.append(.drain(try name(pair.value, "drain")))
            default: throw fault(pair.name, "join, leave and drain are known")
            }
        }
        return changes
    }

    /// `NAME` or `NAME:WEIGHT`; a name with a colon needs the weight behind it.
    private static func joining(_ text: String) throws(ClientError) -> PlacementMember {
        guard let colon = text.lastIndex(of: ":") else { return PlacementMember(name: try name(text, "join")) }
        guard let weight = Int(text[text.index(after: colon)...]), weights.contains(weight) else {
            throw fault("join", "the weight is a number from \(weights.lowerBound) to \(weights.upperBound)")
        }
        return PlacementMember(name: try name(String(text[..<colon]), "join"), weight: Double(weight))
    }

    private static func name(_ text: String, _ field: String) throws(ClientError) -> String {
        guard Cluster.NodeIdentity.isName(text) else {
            throw fault(field, "a node's name is 1 to \(Cluster.NodeIdentity.nameBytesLimit) visible ASCII characters")
        }
        return text
    }

    static func fault(_ field: String, _ message: String) -> ClientError {
        ClientError(.badRequest, message, details: [.init(field: field, message: message)])
    }

    /// What a client is told where there is no plan.
    static func error(_ fault: PlacementPlan.Fault) -> ClientError {
        switch fault {
        case .alreadyMember(let name): Self.fault("join", "\(name) takes slots already, or is named twice")
        case .notMember(let name): ClientError(.badRequest, "\(name) takes no slots now, or is named twice")
        case .nobodyLeft: ClientError(.badRequest, "no node would be left")
        case .tooManyMembers: Self.fault("join", "at most \(PlacementTable.membersLimit) nodes")
        }
    }
}
