// Who follows a campaign, as its owner counts.

@testable import Cluster
import Protocol
import Testing

@testable import Node

struct SubscriberBoardTests {
    private let campaign = CampaignID(UUIDv7(at: Timestamp(milliseconds: 1_800_000_000_000), random: 7))
    private let other = CampaignID(UUIDv7(at: Timestamp(milliseconds: 1_800_000_000_000), random: 8))

    private func follower(_ edge: UInt16) -> SubscriberBoard.Follower {
        SubscriberBoard.Follower(edge: edge, link: HostedLinkID(index: 0, generation: 1))
    }

    @Test func `clients here and on other nodes are added up, each node once`() {
        let board = SubscriberBoard(tellingLoops: 2)
        #expect(board.count(of: campaign) == .init(nodes: 0, clients: 0))
        board.add(3, to: campaign)
        board.add(-1, to: campaign)
        board.add(7, to: other)
        #expect(board.count(of: campaign) == .init(nodes: 1, clients: 2))
        board.follows(campaign, follower(2), of: 100)
        board.follows(campaign, follower(2), of: 100)
        #expect(board.count(of: campaign) == .init(nodes: 2, clients: 2))
        board.tells(campaign, follower(2), clients: 40)
        board.follows(campaign, follower(3), of: 200)
        board.tells(campaign, follower(3), clients: 500)
        #expect(board.count(of: campaign) == .init(nodes: 3, clients: 542))
        // The same node by another link, before the lost one is given up.
        board.follows(campaign, follower(4), of: 200)
        #expect(board.count(of: campaign).nodes == 3)
        board.leaves(campaign, follower(3))
        board.tells(campaign, follower(3), clients: 9)
        #expect(board.count(of: campaign) == .init(nodes: 3, clients: 42))
        board.leaves(campaign, follower(4))
        board.leaves(campaign, follower(2))
        board.add(-2, to: campaign)
        #expect(board.count(of: campaign) == .init(nodes: 0, clients: 0))
        #expect(board.count(of: other) == .init(nodes: 1, clients: 7))
    }

    @Test func `each change is told of once, by the loop of its slot`() {
        let board = SubscriberBoard(tellingLoops: 2)
        board.add(1, to: campaign)
        board.add(1, to: campaign)
        let loop = Int(Slot(of: campaign).index) % 2
        #expect(board.takeChanges(1 - loop).isEmpty)
        #expect(board.takeChanges(loop) == [campaign])
        #expect(board.takeChanges(loop).isEmpty)
        board.add(-2, to: campaign)
        #expect(board.takeChanges(loop) == [campaign])
        #expect(board.clients(of: campaign) == 0)
    }
}
