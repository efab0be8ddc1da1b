// What an operator wishes: that a node gives its slots away and stays without any, or that a campaign's slot lives on a
// certain node. A wish is a row in the database, where every node finds it; each may be repeated.

import Cluster
import Journal
import Platform
import Protocol

extension AdminDesk {
    /// - Parameter isAsked: whether the node is to drain; otherwise it is taken back.
    func drain(_ name: String, isAsked: Bool) async throws -> [UInt8] {
        let picture = try await picture()
        guard let node = picture.newest(name) else { throw Self.unknown(name) }
        let place = picture.nodes.lastIndex { $0.name == name }
        let slots = place.map { picture.loads[$0] } ?? 0
        guard let database, let membership = parts.cluster?.membership else {
            guard !isAsked else { throw ClientError(.conflict, "this node is alone: nobody could take its slots") }
            return AdminDocuments.drain(node, slots: slots, isAsked: false, hasChanged: false)
        }
        if isAsked, !picture.nodes.contains(where: { $0.isMember && $0.name != name }) {
            throw ClientError(.conflict, "no other node could take the slots of \(name)")
        }
        guard let answer = try await database.askToDrain(name, isAsked) else { throw Self.unknown(name) }
        await membership.wishesChanged()
        if answer.hasChanged {
            parts.log.info("admin.drain", [("node", .string(name)), ("asked", .boolean(isAsked))])
        }
        return AdminDocuments.drain(node, slots: slots, isAsked: isAsked, hasChanged: answer.hasChanged)
    }

    /// - Parameter name: of a node that lives; `nil` sets the campaign's slot free.
    func pin(_ campaign: CampaignID, to name: String?) async throws -> [UInt8] {
        let slot = Slot(of: campaign)
        let picture = try await picture()
        let owner = picture.owners[Int(slot.index)].map { picture.nodes[$0].name }
        guard let database, let membership = parts.cluster?.membership else {
            guard name == nil else { throw ClientError(.conflict, "this node is alone: it has every slot") }
            return AdminDocuments.pin(campaign, nil, owner: owner, hasChanged: false)
        }
        if let name {
            let index = try await database.index([slot]).first
            guard index?.campaigns.contains(where: { $0.campaign == campaign }) == true else {
                throw ClientError(.notFound, "no such campaign")
            }
            guard picture.newest(name) != nil else { throw Self.unknown(name) }
        }
        let hasChanged = try await database.pin(slot, to: name)
        await membership.wishesChanged()
        if hasChanged {
            parts.log.info(
                "admin.pin", [("slot", .integer(Int(slot.index))), ("node", .string(name ?? "none"))])
        }
        return AdminDocuments.pin(campaign, name, owner: owner, hasChanged: hasChanged)
    }

    private static func unknown(_ name: String) -> ClientError {
        ClientError(.notFound, "no node \(name) lives")
    }
}
