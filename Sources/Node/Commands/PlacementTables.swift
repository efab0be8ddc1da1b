// What commands about placement print for people, made of a node's answer.

import Protocol

enum PlacementTables {
    /// The whole text; `nil` where the answer is none to this command.
    static func text(_ command: PlacementCommand, _ answer: AnswerObject) -> String? {
        switch command {
        case .placement: placement(answer)
        case .whereIs: campaign(answer)
        case .timeline: timeline(answer)
        case .plan: plan(answer)
        case .diff: diff(answer)
        case .drain: drain(answer)
        case .pin, .unpin: pin(answer)
        }
    }

    /// Whether the answer is what one hopes for; only a comparison can be otherwise.
    static func isGood(_ command: PlacementCommand, _ answer: AnswerObject) -> Bool {
        guard case .diff = command else { return true }
        return answer.isTrue("converged")
    }

    private static func placement(_ answer: AnswerObject) -> String? {
        guard let balance = answer.object("balance"), let version = answer.text("version") else { return nil }
        var nodes = TextTable(
            "NODE", "STATE", "WEIGHT", "SLOTS", "CAMPAIGNS", "CONNECTIONS", "ADDRESS", "INCARNATION")
        var silent: [String] = []
        for node in answer.list("nodes") {
            nodes.add(
                node.text("name"), node.text("state"), node.text("weight"), node.text("slots"),
                node.text("campaigns"), node.text("connections"), node.text("address"), node.text("incarnation"))
            if !node.isTrue("answered"), let name = node.text("name") { silent.append(name) }
        }
        var summary =
            "version \(version), at most \(balance.text("max") ?? "-") slots on a node, "
            + "\(balance.text("mean") ?? "-") on average"
        let pins = answer.list("pins").count
        if pins > 0 { summary += ", \(pins) pinned" }
        if !silent.isEmpty { summary = "no answer from \(silent.joined(separator: ", "))\n" + summary }
        let moves = answer.list("moves")
        guard !moves.isEmpty else { return nodes.text + "\n\n\(summary); nothing is on its way" }
        return nodes.text + "\n\n" + flows(moves, by: "step", "STEP")
            + "\n\n\(summary); \(moves.count) slots are on their way"
    }

    /// Moves that have all in common, counted.
    private static func flows(_ moves: [AnswerObject], by field: JSONName, _ title: String) -> String {
        struct Flow: Hashable {
            let from: String
            let to: String
            let kind: String
        }
        var counts: [Flow: Int] = [:]
        for move in moves {
            let flow = Flow(
                from: move.text("from") ?? "nobody", to: move.text("to") ?? "-", kind: move.text(field) ?? "-")
            counts[flow, default: 0] += 1
        }
        var table = TextTable("FROM", "TO", title, "SLOTS")
        for (flow, count) in counts.sorted(by: {
            ($0.key.from, $0.key.to, $0.key.kind) < ($1.key.from, $1.key.to, $1.key.kind)
        }) {
            table.add(flow.from, flow.to, flow.kind, String(count))
        }
        return table.text
    }

    private static func campaign(_ answer: AnswerObject) -> String? {
        guard let campaign = answer.text("campaign"), let slot = answer.text("slot") else { return nil }
        var lines = [("campaign", campaign), ("slot", slot)]
        let incarnation = answer.text("incarnation").map { " (\($0))" } ?? ""
        lines.append(("node", answer.text("node").map { $0 + incarnation } ?? "nobody at this moment"))
        if let home = answer.text("home"), home != answer.text("node") { lines.append(("moves to", home)) }
        if let epoch = answer.text("epoch") { lines.append(("epoch", epoch)) }
        if let since = answer.text("since") { lines.append(("since", since)) }
        if let why = answer.object("why") {
            lines.append(("why", why.text("reason") ?? "-"))
            if let rank = why.text("rank") { lines.append(("rank", "\(rank) of \(why.text("members") ?? "-")")) }
            lines.append(("share", "\(why.text("load") ?? "-") of \(why.text("cap") ?? "no") slots"))
            lines.append(("pinned", answer.text("pin").map { "to \($0)" } ?? "no"))
        }
        let snapshot = answer.text("snapshotLsn").map { "a snapshot up to row \($0)" } ?? "no snapshot"
        lines.append(("journal", "row \(answer.text("lsn") ?? "-"), \(snapshot)"))
        if let seq = answer.text("seq") {
            lines.append(("in memory", answer.isTrue("active") ? "yes" : "no"))
            lines.append(("seq", seq))
            lines.append(("poll", answer.text("runningPoll") ?? "none runs"))
        }
        if let subscribers = answer.object("subscribers") {
            let (clients, nodes) = (subscribers.text("clients") ?? "-", subscribers.text("nodes") ?? "-")
            lines.append(("followed", "by \(clients) clients on \(nodes) nodes"))
        }
        return aligned(lines)
    }

    private static func aligned(_ lines: [(String, String)]) -> String {
        let width = lines.map(\.0.count).max() ?? 0
        return lines.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + $0.1 }
            .joined(separator: "\n")
    }

    private static func drain(_ answer: AnswerObject) -> String? {
        guard let node = answer.text("node"), let slots = answer.text("slots") else { return nil }
        let lines = [("node", node), ("incarnation", answer.text("incarnation") ?? "-"), ("slots now", slots)]
        let text: String
        switch answer.text("drain") {
        case "asked": text = "it gives its slots away and stays without any until `tumulte drain \(node) --back`"
        case "leaving": text = "it gives its slots away: it is about to end, or reaches too few other nodes"
        default: text = "it takes its share of the slots"
        }
        return aligned(lines + [("drain", text), ("changed", answer.isTrue("changed") ? "yes" : "it was so already")])
    }

    private static func pin(_ answer: AnswerObject) -> String? {
        guard let campaign = answer.text("campaign"), let slot = answer.text("slot") else { return nil }
        return aligned([
            ("campaign", campaign), ("slot", slot), ("pinned", answer.text("pin").map { "to \($0)" } ?? "no"),
            ("node now", answer.text("node") ?? "nobody at this moment"),
            ("changed", answer.isTrue("changed") ? "yes" : "it was so already"),
        ])
    }

    private static func timeline(_ answer: AnswerObject) -> String? {
        guard let slot = answer.text("slot") else { return nil }
        var table = TextTable("AT", "EPOCH", "FROM", "TO", "CAUSE", "PAUSE MS", "ROW")
        for change in answer.list("changes") {
            table.add(
                change.text("at"), change.text("epoch"), party(change.object("from")), party(change.object("to")),
                change.text("cause"), change.text("pauseMs"), change.text("lsn"))
        }
        return table.isEmpty ? "slot \(slot) has never changed hands" : table.text
    }

    /// A name, or the process where its name is forgotten.
    private static func party(_ answer: AnswerObject?) -> String? {
        answer?.text("node") ?? answer?.text("incarnation")
    }

    private static func plan(_ answer: AnswerObject) -> String? {
        guard let count = answer.text("count") else { return nil }
        var nodes = TextTable("NODE", "SLOTS NOW", "THEN", "AT MOST")
        for node in answer.list("nodes") {
            nodes.add(node.text("name"), node.text("before"), node.text("after"), node.text("cap"))
        }
        let moves = answer.list("moves")
        guard !moves.isEmpty else { return nodes.text + "\n\nnothing would move" }
        return nodes.text + "\n\n" + flows(moves, by: "how", "HOW") + "\n\n\(count) slots would move; nothing was done"
    }

    private static func diff(_ answer: AnswerObject) -> String? {
        guard let versions = answer.object("versions"), let redis = answer.text("redis"),
            let count = answer.text("count")
        else { return nil }
        var text = "versions: database \(versions.text("database") ?? "-"), Redis \(versions.text("redis") ?? "-"), "
        text += "this node \(versions.text("node") ?? "-")\n"
        switch redis {
        case "unused": text += "this node uses no Redis\n"
        case "empty": text += "Redis has no placement table\n"
        case "unreadable": text += "what Redis has is no placement table\n"
        case "unreachable": text += "Redis cannot be reached\n"
        default: break
        }
        for node in answer.list("nodes") {
            let version = node.text("version").map { "knows version \($0)" }
            text += "\(party(node) ?? "-") \(version ?? "does not answer")\n"
        }
        var table = TextTable("SLOT", "DATABASE", "REDIS", "THIS NODE", "SERVED BY")
        for entry in answer.list("slots") {
            let views = [entry.object("database"), entry.object("redis"), entry.object("node")].map { party($0) }
            let served = entry.list("served").compactMap { party($0) }
            table.add(
                entry.text("slot"), views[0], views[1], views[2],
                served.isEmpty ? nil : served.joined(separator: ", "))
        }
        if !table.isEmpty { text += table.text + "\n" }
        return text + (answer.isTrue("converged") ? "all agree" : "\(count) slots differ")
    }
}
