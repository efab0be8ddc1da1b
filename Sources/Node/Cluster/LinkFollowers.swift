// Which links follow which campaigns at an edge for other nodes, and whether a campaign's owner may be told that none
// does any more.
//
//   asks ─► (on its way to the shard) ─► answered ─┬─► follows ─► leaves ─► unused: farewell
//                                                  └─► refused ─────────────►

import Cluster
import Protocol

struct LinkFollowers {
    private var links: [CampaignID: [HostedLinkID]] = [:]
    /// Wishes to follow that are on their way to the shards: a farewell that overtook one would end what it begins.
    private var asking: [CampaignID: Int] = [:]

    /// The links that follow a campaign.
    subscript(campaign: CampaignID) -> [HostedLinkID] { links[campaign] ?? [] }

    /// Whether nobody follows the campaign, or is about to: its owner need not send events here.
    func isUnused(_ campaign: CampaignID) -> Bool { links[campaign] == nil && asking[campaign] == nil }

    /// What a link follows.
    func campaigns(of link: HostedLinkID) -> [CampaignID] {
        links.filter { $0.value.contains(link) }.keys.sorted()
    }

    /// A wish to follow goes to the shard.
    mutating func asks(_ campaign: CampaignID) { asking[campaign, default: 0] += 1 }

    /// A wish has come back, granted or not.
    mutating func answered(_ campaign: CampaignID) {
        let left = (asking[campaign] ?? 1) - 1
        asking[campaign] = left > 0 ? left : nil
    }

    /// The link follows the campaign from now on; once, however often it has asked.
    mutating func follows(_ link: HostedLinkID, _ campaign: CampaignID) {
        guard !self[campaign].contains(link) else { return }
        links[campaign, default: []].append(link)
    }

    /// The link does not follow the campaign any more.
    mutating func leaves(_ link: HostedLinkID, _ campaign: CampaignID) {
        guard var left = links[campaign] else { return }
        left.removeAll { $0 == link }
        links[campaign] = left.isEmpty ? nil : left
    }

    /// The slot is served elsewhere, or anew: nobody follows its campaigns any more.
    /// - Returns: who did.
    mutating func leave(_ slot: Slot) -> [CampaignID: [HostedLinkID]] {
        let gone = links.filter { Slot(of: $0.key) == slot }
        for campaign in gone.keys { links[campaign] = nil }
        return gone
    }
}
