// The answers to queries about placement, as JSON.

import Cluster
import Journal
import Protocol

/// A slot at one moment.
struct SlotReport: Sendable {
    let slot: Slot
    /// `nil` where nobody has it.
    let owner: PlacementNode?
    /// Who should have it; `nil` where no node takes slots.
    let home: String?
    let epoch: UInt64?
    /// Since when the owner has it, where that is recorded.
    let since: Timestamp?
    let reason: PlacementReason?
    /// The node that the slot is fixed to, whether it lives or not.
    let pin: String?
    /// The nodes, for what they say of a campaign.
    let nodes: [PlacementNode]

    /// - Parameter newest: the newest recorded change of hands.
    init(_ slot: Slot, in picture: PlacementPicture, epoch: UInt64?, newest: OwnershipChange?) {
        let place = picture.owners[Int(slot.index)]
        let owner = place.map { picture.nodes[$0] }
        let homes = picture.homes
        self.slot = slot
        self.owner = owner
        self.epoch = epoch
        home = homes.isEmpty ? nil : picture.nodes[homes[Int(slot.index)]].name
        let taker = newest?.to.map { PlacementPicture.text($0.incarnation) }
        since = taker != nil && taker == owner?.incarnation ? newest?.at : nil
        reason = picture.reason(of: slot)
        pin = picture.pins[slot]
        nodes = picture.nodes
    }
}

enum AdminDocuments {
    /// - Parameters:
    ///   - statuses: what nodes say of themselves, by incarnation; of those that did not answer there is none.
    ///   - leases: how long the leases last.
    static func placement(
        _ picture: PlacementPicture, withOwners: Bool, statuses: [(UInt128, PeerStatus)], leases: [NodeLease]
    ) -> [UInt8] {
        let loads = picture.loads
        let caps = CappedPlacement.caps(picture.members)
        // A node without a database has no incarnation, and is alone.
        let said = Dictionary(statuses.map { (PlacementPicture.text($0.0), $0.1) }) { first, _ in first }
        let left = Dictionary(leases.map { (PlacementPicture.text($0.incarnation), $0.remainingMilliseconds) }) {
            first, _ in first
        }
        return JSONDocument.object { document in
            document.field("version", picture.version)
            document.array("nodes", picture.nodes.indices) { document, place in
                let node = picture.nodes[place]
                document.object { document in
                    document.field("name", node.name)
                    document.field("incarnation", node.incarnation)
                    document.field("address", node.address)
                    document.field("state", node.state.rawValue)
                    document.field("drain", node.isLeaving ? "leaving" : node.isAskedToDrain ? "asked" : nil)
                    document.field("weight", rounded: node.weight)
                    document.field("slots", loads[place])
                    document.field("cap", node.isMember ? caps[node.name] : nil)
                    document.field("leaseMs", node.incarnation.flatMap { left[$0] }.map { Int($0) })
                    let status = node.incarnation.map { said[$0] } ?? statuses.first?.1
                    document.field("answered", status != nil)
                    document.field("campaigns", status?.campaigns)
                    document.field("connections", status?.connections)
                }
            }
            document.array("moves", picture.moves) { document, move in
                document.object { document in
                    document.field("slot", Int(move.slot.index))
                    document.field("from", move.from.map { picture.nodes[$0].name })
                    document.field("to", picture.nodes[move.to].name)
                    document.field("step", move.step.rawValue)
                }
            }
            document.object("balance") { document in
                let members = picture.nodes.count(where: \.isMember)
                document.field("max", loads.max() ?? 0)
                document.field("mean", rounded: members == 0 ? nil : Double(Slot.count) / Double(members))
            }
            document.array("pins", picture.pins.sorted { $0.key < $1.key }) { document, pin in
                document.object { document in
                    document.field("slot", Int(pin.key.index))
                    document.field("node", pin.value)
                }
            }
            document.field("here", picture.here.map { picture.nodes[$0].name })
            guard withOwners else { return }
            document.array("owners", picture.owners) { $0.value($1) }
        }
    }

    static func slot(_ report: SlotReport) -> [UInt8] {
        JSONDocument.object { append(report, to: &$0) }
    }

    private static func append(_ report: SlotReport, to document: inout JSONDocument) {
        document.field("slot", Int(report.slot.index))
        document.field("node", report.owner?.name)
        document.field("incarnation", report.owner?.incarnation)
        document.field("home", report.home)
        document.field("epoch", report.epoch)
        document.field("since", report.since)
        document.field("pin", report.pin)
        guard let reason = report.reason else { return document.null("why") }
        document.object("why") { document in
            document.field("rank", reason.rank)
            document.field("members", reason.memberCount)
            document.field("cap", reason.cap)
            document.field("load", reason.load)
            document.field("pinned", reason.isPinned)
            document.field("reason", reason.description)
        }
    }

    /// - Parameters:
    ///   - journal: the newest row of the slot's journal, and the one up to which the campaign's newest snapshot reaches.
    ///   - look: what the owner says.
    ///   - voices: what nodes say of the campaign, by incarnation; of those that did not answer there is none.
    static func campaign(
        _ campaign: CampaignID, _ report: SlotReport, journal: (tail: UInt64, snapshot: UInt64?), look: CampaignLook?,
        voices: [(UInt128, PeerCampaign)]
    ) -> [UInt8] {
        JSONDocument.object { document in
            document.field("campaign", campaign.description)
            append(report, to: &document)
            document.field("lsn", journal.tail)
            document.field("snapshotLsn", journal.snapshot)
            document.object("subscribers") { document in
                document.field("nodes", voices.count { $0.1.clients > 0 })
                document.field("clients", voices.reduce(0) { $0 + $1.1.clients })
                let heard = Set(voices.map { PlacementPicture.text($0.0) })
                let silent = report.nodes.filter { $0.incarnation.map { !heard.contains($0) } ?? false }
                document.array("unanswered", silent) { $0.value($1.name) }
            }
            // What only the owner has in memory. The stream's place counts within the epoch that it belongs to.
            let isKnown = look != nil && look?.slot.epoch == report.epoch
            document.field("answered", isKnown)
            guard let look, isKnown else {
                document.null("active")
                document.null("seq")
                return document.null("runningPoll")
            }
            document.field("active", look.isActive)
            document.field("seq", look.seq)
            document.field("runningPoll", look.runningPoll?.description)
        }
    }

    /// What became of a wish that a node drains, or is taken back.
    static func drain(_ node: PlacementNode, slots: Int, isAsked: Bool, hasChanged: Bool) -> [UInt8] {
        JSONDocument.object { document in
            document.field("node", node.name)
            document.field("incarnation", node.incarnation)
            document.field("drain", node.isLeaving ? "leaving" : isAsked ? "asked" : nil)
            document.field("changed", hasChanged)
            document.field("slots", slots)
        }
    }

    /// What became of a wish about a pin.
    static func pin(_ campaign: CampaignID, _ pin: String?, owner: String?, hasChanged: Bool) -> [UInt8] {
        JSONDocument.object { document in
            document.field("campaign", campaign.description)
            document.field("slot", Int(Slot(of: campaign).index))
            document.field("pin", pin)
            document.field("node", owner)
            document.field("changed", hasChanged)
        }
    }

    static func timeline(_ slot: Slot, _ changes: [OwnershipChange]) -> [UInt8] {
        JSONDocument.object { document in
            document.field("slot", Int(slot.index))
            document.array("changes", changes) { document, change in
                document.object { document in
                    document.field("at", change.at)
                    document.field("epoch", change.epoch)
                    let parties: [(StaticString, OwnershipChange.Party?)] = [("from", change.from), ("to", change.to)]
                    for (name, party) in parties {
                        guard let party else { document.null(name); continue }
                        document.object(name) { append(party.incarnation, party.name, to: &$0) }
                    }
                    document.field("cause", change.cause)
                    document.field("pauseMs", rounded: change.pauseMilliseconds)
                    document.field("lsn", change.tail)
                }
            }
        }
    }

    private static func append(_ incarnation: UInt128, _ name: String?, to document: inout JSONDocument) {
        document.field("node", name)
        document.field("incarnation", PlacementPicture.text(incarnation))
    }

    /// - Parameter owners: by slot, who has it now.
    static func plan(_ plan: PlacementPlan, owners: [String?]) -> [UInt8] {
        var before: [String: Int] = [:]
        for case let owner? in owners { before[owner, default: 0] += 1 }
        let after = plan.loads
        let caps = CappedPlacement.caps(plan.members)
        let names = Set(before.keys).union(after.keys).sorted()
        return JSONDocument.object { document in
            document.array("nodes", names) { document, name in
                document.object { document in
                    document.field("name", name)
                    document.field("before", before[name] ?? 0)
                    document.field("after", after[name] ?? 0)
                    document.field("cap", caps[name])
                }
            }
            document.field("count", plan.moves.count)
            document.array("moves", plan.moves) { document, move in
                document.object { document in
                    document.field("slot", Int(move.slot.index))
                    document.field("from", move.from)
                    document.field("to", move.to)
                    document.field("how", move.isHandOff ? "hand-off" : "claim")
                }
            }
        }
    }

    /// - Parameters:
    ///   - diff: `nil` where there is nothing to compare.
    ///   - versions: of the table: the newest that the database gave out, and the newest that this node knows.
    ///   - names: of nodes.
    static func diff(
        _ diff: PlacementDiff?, board: PlacementDiff.Board, versions: (database: UInt64?, node: UInt64?),
        names: [UInt128: String]
    ) -> [UInt8] {
        JSONDocument.object { document in
            document.field("converged", (diff?.isEmpty ?? true) && board.isSound)
            document.field("redis", board.word)
            document.object("versions") { document in
                document.field("database", versions.database)
                document.field("redis", board.version)
                document.field("node", versions.node)
            }
            document.field("count", diff?.count ?? 0)
            document.array("slots", diff?.entries ?? []) { document, entry in
                document.object { document in
                    document.field("slot", Int(entry.slot.index))
                    let views: [(StaticString, UInt128??)] = [
                        ("database", entry.database), ("redis", entry.redis), ("node", entry.node),
                    ]
                    for (name, view) in views {
                        guard let view else { continue }
                        guard let owner = view else { document.null(name); continue }
                        document.object(name) { append(owner, names[owner], to: &$0) }
                    }
                    document.array("served", entry.served) { document, node in
                        document.object { append(node, names[node], to: &$0) }
                    }
                }
            }
            document.array("nodes", diff?.stragglers ?? []) { document, straggler in
                document.object { document in
                    append(straggler.node, names[straggler.node], to: &document)
                    document.field("answered", straggler.version != nil)
                    document.field("version", straggler.version)
                }
            }
        }
    }
}
