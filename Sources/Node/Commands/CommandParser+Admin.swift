// The commands that ask a node about placement.

import Protocol

/// What a node is asked.
enum PlacementCommand: Equatable {
    case placement
    case whereIs(campaign: String)
    case timeline(slot: UInt16)
    /// Changes as the route takes them: a name of a field, and a node's name.
    case plan([PlannedChange])
    case diff

    struct PlannedChange: Equatable {
        let field: String
        let node: String
    }

    /// The path that answers it.
    var path: String {
        switch self {
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
