// HTTP requests whose commands other nodes have passed on to this one: a line in the log for each, by which their ids can
// be followed from the node that was asked to the one that did what was asked for.

import Cluster
import Domain
import Platform
import Protocol

struct ForwardedRequest: Sendable {
    private let id: String
    /// The node that was asked.
    private let node: String
    /// What kind of command it is, of the first where there are several.
    private let command: StaticString
    /// The places of its commands in the request of the link.
    private let places: Range<Int>

    init(_ trace: RequestTrace, _ commands: [RoadCodec.Received], from node: String) {
        id = trace.id
        self.node = node
        command = commands[trace.commands.lowerBound].body.label
        places = trace.commands
    }

    /// `nil` where the creation did not come by HTTP.
    init?(_ creation: CreationCommand, from node: String) {
        guard let id = creation.ticket.httpRequest else { return nil }
        self.id = id
        self.node = node
        command = "create"
        places = 0..<1
    }

    /// All of its commands have their answers, which are about to leave.
    func log(_ answers: [RoadAnswer?], slot: Slot?, to log: Log) {
        log.debug(
            "command.answered",
            fields(slot) + [("status", .integer(answers[places].compactMap { $0?.httpStatus }.max() ?? 0))])
    }

    /// The link to the node that was asked is gone: it will hear of no outcome.
    func logAsLost(slot: Slot?, to log: Log) { log.debug("command.unanswered", fields(slot)) }

    private func fields(_ slot: Slot?) -> [(StaticString, LogValue)] {
        [
            ("request_id", .string(id)), ("node", .string(node)), ("command", .string("\(command)")),
            ("commands", .integer(places.count)), ("slot", .integer(slot.map { Int($0.index) } ?? -1)),
        ]
    }
}

extension RoadAnswer {
    /// The status that a client gets who asked for this alone.
    fileprivate var httpStatus: Int {
        switch self {
        case .vote: 200
        case .reply(.signal): 202
        case .reply(.document(let status, _)): status
        case .reply(.failure(let error)): error.code.httpStatus
        }
    }
}

extension CommandBody {
    /// The command's name in logs.
    fileprivate var label: StaticString {
        switch self {
        case .vote: "vote"
        case .subscribe: "subscribe"
        case .leave: "leave"
        case .verify: "verify"
        case .manage(let command, _): command.label
        }
    }
}

extension ManagementCommand {
    fileprivate var label: StaticString {
        switch self {
        case .create: "create"
        case .update: "update"
        case .delete: "delete"
        case .launch: "launch"
        case .cancel: "cancel"
        case .signal: "signal"
        case .readCampaign: "read_campaign"
        case .readPolls: "read_polls"
        case .readPoll: "read_poll"
        }
    }
}
