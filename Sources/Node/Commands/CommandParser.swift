// The command line, parsed into values before anything is done. Wrong usage is a value too: what was wrong, and the
// usage of the command that was meant.

import Platform
import Protocol

/// What the program was asked to do.
enum ParsedCommand: Equatable {
    case help(String)
    case version
    case node
    case migrate
    case check
    case token(TokenRequest)
    case verify(campaign: String, AdminTarget)
    case query(PlacementCommand, AdminTarget)
    case repair(slot: UInt16, keepThrough: UInt64)
    case health(url: String)
    case simulate(SimulationRequest)
}

/// A simulation to be run.
public struct SimulationRequest: Equatable, Sendable {
    /// The first seed.
    public var first: UInt64 = 1
    /// Seeds to run.
    public var count: UInt64 = 200
    /// The name of a bug to plant, or nothing.
    public var plant: String?
    /// Threads, each with a world of its own at a time.
    public var threads = 2
    /// Runs each seed twice and compares the traces.
    public var isTwice = false
    /// Prints what happens.
    public var isVerbose = false
}

/// A token to be made.
struct TokenRequest: Equatable {
    var subject = ""
    var role = Role.voter
    var channel: String?
    var lifetimeSeconds: Int64 = 3600
}

/// Where an admin query goes.
struct AdminTarget: Equatable {
    var url: String?
    var token: String?
    var isJSON = false
}

/// A command line that cannot be understood.
struct UsageError: Error, Equatable {
    let message: String
    /// The command whose usage helps, or `nil` for the program's.
    let command: String?
}

struct CommandParser {
    var rest: ArraySlice<String>
    let command: String

    /// Parses the arguments behind the program's name.
    static func parse(_ arguments: [String]) throws(UsageError) -> ParsedCommand {
        guard let name = arguments.first else { throw UsageError(message: "a command is needed", command: nil) }
        if name == "--help" || name == "-h" || name == "help" { return .help(Usage.program) }
        if name == "--version" { return .version }
        guard let usage = Usage.of(name) else { throw UsageError(message: "there is no command \(name)", command: nil) }
        var parser = CommandParser(rest: arguments.dropFirst(), command: name)
        if parser.rest.contains("--help") || parser.rest.contains("-h") { return .help(usage) }
        return try parser.parse()
    }

    private mutating func parse() throws(UsageError) -> ParsedCommand {
        switch command {
        case "version": return try end(.version)
        case "node": return try end(.node)
        case "migrate": return try end(.migrate)
        case "check": return try end(.check)
        case "token": return try token()
        case "verify": return try verify()
        case "placement": return try query(.placement)
        case "diff": return try query(.diff)
        case "where":
            return try query(needing: "the id of a campaign") { UUIDv7($0).map { .whereIs(campaign: "\($0)") } }
        case "timeline":
            return try query(needing: "a slot, 0 to \(Slot.count - 1)") {
                Slot(text: $0).map { .timeline(slot: $0.index) }
            }
        case "plan": return try plan()
        case "simulate": return try simulate()
        case "drain": return try drain()
        case "pin": return try pin()
        case "unpin":
            return try query(needing: "the id of a campaign") { UUIDv7($0).map { .unpin(campaign: "\($0)") } }
        case "repair": return try repair()
        case "health":
            var url: String?
            while let option = rest.popFirst() {
                guard option == "--url" else { throw unknown(option) }
                url = try value(of: option)
            }
            return .health(url: url ?? "")
        default: throw UsageError(message: "there is no command \(command)", command: nil)
        }
    }

    private func end(_ parsed: ParsedCommand) throws(UsageError) -> ParsedCommand {
        if let extra = rest.first { throw unknown(extra) }
        return parsed
    }

    func unknown(_ argument: String) -> UsageError {
        UsageError(message: "\(command) does not know \(argument)", command: command)
    }

    mutating func value(of option: String) throws(UsageError) -> String {
        guard let value = rest.popFirst(), !value.isEmpty else {
            throw UsageError(message: "\(option) needs a value", command: command)
        }
        return value
    }

    private mutating func token() throws(UsageError) -> ParsedCommand {
        var request = TokenRequest()
        while let option = rest.popFirst() {
            switch option {
            case "--sub": request.subject = try value(of: option)
            case "--role":
                let name = try value(of: option)
                guard let role = Role.allCases.first(where: { $0.name.description == name }) else {
                    throw UsageError(message: "--role is voter, host or service", command: command)
                }
                request.role = role
            case "--channel": request.channel = try value(of: option)
            case "--ttl":
                guard let seconds = Self.seconds(try value(of: option)) else {
                    throw UsageError(message: "--ttl is a time such as 90s, 15m, 12h or 7d", command: command)
                }
                request.lifetimeSeconds = seconds
            default: throw unknown(option)
            }
        }
        guard (1...Limits.voterBytesLimit).contains(request.subject.utf8.count) else {
            throw UsageError(message: "--sub is needed, 1 to \(Limits.voterBytesLimit) bytes", command: command)
        }
        if let channel = request.channel, channel.utf8.count > Limits.channelBytesLimit {
            throw UsageError(message: "--channel has at most \(Limits.channelBytesLimit) bytes", command: command)
        }
        return .token(request)
    }

    /// Seconds of `90`, `90s`, `15m`, `12h` or `7d`; `nil` for anything else, and above ten years.
    static func seconds(_ text: String) -> Int64? {
        let factors: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        var digits = text[...]
        var factor: Int64 = 1
        if let last = digits.last, let unit = factors[last] {
            factor = unit
            digits.removeLast()
        }
        guard digits.allSatisfy(\.isASCII), let number = Int64(digits), number > 0, number <= 315_360_000 / factor
        else {
            return nil
        }
        return number * factor
    }

    private mutating func verify() throws(UsageError) -> ParsedCommand {
        var campaign: String?
        var target = AdminTarget()
        while let argument = rest.popFirst() {
            if try takeTarget(argument, &target) { continue }
            guard !argument.hasPrefix("-"), campaign == nil else { throw unknown(argument) }
            guard UUIDv7(argument) != nil else {
                throw UsageError(message: "\(argument) is not the id of a campaign", command: command)
            }
            campaign = argument
        }
        guard let campaign else { throw UsageError(message: "verify needs a campaign", command: command) }
        return .verify(campaign: campaign, target)
    }

    private mutating func repair() throws(UsageError) -> ParsedCommand {
        var slot: UInt16?
        var lsn: UInt64?
        while let option = rest.popFirst() {
            let text = try value(of: option)
            switch option {
            case "--slot": slot = UInt16(text).flatMap { $0 < Slot.count ? $0 : nil }
            case "--keep-through": lsn = UInt64(text)
            default: throw unknown(option)
            }
        }
        guard let slot, let lsn else {
            throw UsageError(message: "repair needs --slot 0…4095 and --keep-through LSN", command: command)
        }
        return .repair(slot: slot, keepThrough: lsn)
    }
}
