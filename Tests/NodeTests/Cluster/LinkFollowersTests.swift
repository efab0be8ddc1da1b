// Who follows what by the links of other nodes, and when nobody is left to send events to.

import Protocol
import Testing

@testable import Cluster
@testable import Node

struct LinkFollowersTests {
    private static let at = Timestamp(milliseconds: 1_800_000_000_000)
    private static let campaign = CampaignID(UUIDv7(at: at, random: 7))
    private static let other = CampaignID(UUIDv7(at: at, random: 8))
    private static let a = HostedLinkID(index: 0, generation: 1)
    private static let b = HostedLinkID(index: 1, generation: 1)

    /// As after wishes that were granted.
    private static func followed(by links: [HostedLinkID]) -> LinkFollowers {
        var followers = LinkFollowers()
        for link in links {
            followers.asks(campaign)
            followers.answered(campaign)
            followers.follows(link, campaign)
        }
        return followers
    }

    @Test func `a campaign that nobody asked for is unused`() {
        #expect(LinkFollowers().isUnused(Self.campaign))
        #expect(LinkFollowers()[Self.campaign].isEmpty)
    }

    @Test func `the last link that leaves makes a campaign unused`() {
        var followers = Self.followed(by: [Self.a, Self.b])
        followers.leaves(Self.a, Self.campaign)
        #expect(!followers.isUnused(Self.campaign))
        #expect(followers[Self.campaign] == [Self.b])
        followers.leaves(Self.b, Self.campaign)
        #expect(followers.isUnused(Self.campaign))
    }

    @Test func `a campaign is in use while a wish to follow it is on its way`() {
        // The last follower leaves while another one's wish has not come back: a farewell now would reach the owner
        // behind that wish, and the newcomer would get no event.
        var followers = Self.followed(by: [Self.a])
        followers.asks(Self.campaign)
        followers.leaves(Self.a, Self.campaign)
        #expect(!followers.isUnused(Self.campaign))
        followers.answered(Self.campaign)
        followers.follows(Self.b, Self.campaign)
        #expect(!followers.isUnused(Self.campaign))
        #expect(followers[Self.campaign] == [Self.b])
    }

    @Test func `a wish that was refused leaves a campaign unused once no other is on its way`() {
        var followers = LinkFollowers()
        followers.asks(Self.campaign)
        followers.asks(Self.campaign)
        followers.answered(Self.campaign)
        #expect(!followers.isUnused(Self.campaign))
        followers.answered(Self.campaign)
        #expect(followers.isUnused(Self.campaign))
    }

    @Test func `a wish keeps no other campaign in use`() {
        var followers = LinkFollowers()
        followers.asks(Self.other)
        #expect(followers.isUnused(Self.campaign))
        followers.answered(Self.campaign)
        #expect(!followers.isUnused(Self.other))
    }

    @Test func `a link that asks twice follows once`() {
        var followers = Self.followed(by: [Self.a, Self.a])
        #expect(followers[Self.campaign] == [Self.a])
        followers.leaves(Self.a, Self.campaign)
        #expect(followers.isUnused(Self.campaign))
    }

    @Test func `a link knows what it follows`() {
        var followers = Self.followed(by: [Self.a])
        followers.follows(Self.a, Self.other)
        followers.follows(Self.b, Self.other)
        #expect(followers.campaigns(of: Self.a) == [Self.campaign, Self.other].sorted())
        #expect(followers.campaigns(of: Self.b) == [Self.other])
        #expect(followers.campaigns(of: HostedLinkID(index: 0, generation: 2)).isEmpty)
    }

    @Test func `when a slot goes its campaigns lose their followers, and keep the wishes that are on their way`() {
        var followers = Self.followed(by: [Self.a, Self.b])
        followers.follows(Self.a, Self.other)
        followers.asks(Self.campaign)
        #expect(followers.leave(Slot(of: Self.campaign)) == [Self.campaign: [Self.a, Self.b]])
        #expect(followers[Self.campaign].isEmpty)
        #expect(!followers.isUnused(Self.campaign))
        #expect(followers[Self.other] == [Self.a])
    }
}
