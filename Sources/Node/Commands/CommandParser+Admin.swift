// The commands that ask a node about placement, or tell it what the operator wishes of it.

import Protocol

/// What a node is asked.
enum PlacementCommand: Equatable {
    case placement
    case whereIs(campaign: String)
    case timeline(slot: UInt16)
    /// Changes as the route takes them: a name of a field, and a node's name.
    case plan([PlannedChange])
    case diff
    case drain(node: String, isBack: Bool)
    case pin(campaign: String, node: String)
    case unpin(campaign: String)

    struct PlannedChange: Equatable {
        let field: String
        let node: String
    }

    var method: String {
        switch self {
        case .placement, .whereIs, .timeline, .plan, .diff: "GET"
        case .drain(_, let isBack): isBack ? "DELETE" : "POST"
        case .pin: "POST"
        case .unpin: "DELETE"
        }
    }

    /// The body that goes with it.
    var body: [UInt8]? {
        guard case .pin(_, let node) = self else { return nil }
        return JSONDocument.object { $0.field("node", node) }
    }

    /// The path that answers it.
    var path: String {
        switch self {
        case .drain(let node, _): "/admin/nodes/\(Self.escaped(node))/drain"
        case .pin(let campaign, _), .unpin(let campaign): "/admin/placement/pins/\(campaign)"
        case .placement: "/admin/placement"
        case .whereIs(let campaign): "/admin/placement/campaigns/\(campaign)"
        case .timeline(let slot): "/admin/placement/slots/\(slot)/timeline"
        case .diff: "/admin/placement/diff"
        case .plan(let changes):
            "/admin/placement/plan?" + changes.map { "\($0.field)=\(Self.escaped($0.node))" }.joined(separator: "&")
        }
    }

    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for byte in text.utf8 {
            let scalar = Unicode.Scalar(byte)
            if scalar.isASCII,
                scalar.properties.isAlphabetic || (0x30...0x39).contains(byte) || "-._~".utf8.contains(byte)
            {
                escaped.unicodeScalars.append(scalar)
            } else {
                escaped += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return escaped
    }
}

extension CommandParser {
    /// Takes an option that every query knows; `false` where it is another.
    mutating func takeTarget(_ option: String, _ target: inout AdminTarget) throws(UsageError) -> Bool {
        switch option {
        case "--url": target.url = try value(of: option)
        case "--admin-token": target.token = try value(of: option)
        case "--json": target.isJSON = true
        default: return false
        }
        return true
    }

    /// `placement` and `diff`.
    mutating func query(_ query: PlacementCommand) throws(UsageError) -> ParsedCommand {
        var target = AdminTarget()
        while let option = rest.popFirst() {
            guard try takeTarget(option, &target) else { throw unknown(option) }
        }
        return .query(query, target)
    }

    /// A command with one argument beside the options.
    mutating func query(
        needing what: String, _ make: (String) -> PlacementCommand?
    ) throws(UsageError) -> ParsedCommand {
        var target = AdminTarget()
        var found: PlacementCommand?
        while let argument = rest.popFirst() {
            if try takeTarget(argument, &target) { continue }
            guard !argument.hasPrefix("-"), found == nil else { throw unknown(argument) }
            guard let query = make(argument) else {
                throw UsageError(message: "\(argument) is not \(what)", command: command)
            }
            found = query
        }
        guard let found else { throw UsageError(message: "\(command) needs \(what)", command: command) }
        return .query(found, target)
    }

    /// `drain NODE [--back]`.
    mutating func drain() throws(UsageError) -> ParsedCommand {
        var target = AdminTarget()
        var node: String?
        var isBack = false
        while let argument = rest.popFirst() {
            if try takeTarget(argument, &target) { continue }
            if argument == "--back" {
                isBack = true
            } else if !argument.hasPrefix("-"), node == nil, !argument.isEmpty {
                node = argument
            } else {
                throw unknown(argument)
            }
        }
        guard let node else { throw UsageError(message: "drain needs the name of a node", command: command) }
        return .query(.drain(node: node, isBack: isBack), target)
    }

    /// `pin CAMPAIGN NODE`.
    mutating func pin() throws(UsageError) -> ParsedCommand {
        var target = AdminTarget()
        var words: [String] = []
        while let argument = rest.popFirst() {
            if try takeTarget(argument, &target) { continue }
            guard !argument.hasPrefix("-"), !argument.isEmpty, words.count < 2 else { throw unknown(argument) }
            words.append(argument)
        }
        guard words.count == 2, let campaign = UUIDv7(words[0]) else {
            throw UsageError(message: "pin needs the id of a campaign and the name of a node", command: command)
        }
        return .query(.pin(campaign: "\(campaign)", node: words[1]), target)
    }

    mutating func plan() throws(UsageError) -> ParsedCommand {
        var target = AdminTarget()
        var changes: [PlacementCommand.PlannedChange] = []
        while let option = rest.popFirst() {
            if try takeTarget(option, &target) { continue }
            switch option {
            case "--join", "--leave", "--drain":
                changes.append(.init(field: String(option.dropFirst(2)), node: try value(of: option)))
            default: throw unknown(option)
            }
        }
        return .query(.plan(changes), target)
    }
}
