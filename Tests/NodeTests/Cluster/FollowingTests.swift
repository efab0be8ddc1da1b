// One subscription for the loops of a node: who is asked, who gets events, when the owner is told that nobody follows.

import Cluster
import Protocol
import Testing

@testable import Node

/// The machine by reference, so that expectations may change it.
private final class Held {
    var machine = Following()

    func wished(_ command: Command, after: Position?) -> [Command] { machine.wished(command, after: after) }
    /// An answer, and the rest after it.
    func joined(_ wish: Following.Wish, by edges: [UInt16]) -> [Command] {
        machine.joined(wish, by: edges)
        return machine.rested(wish)
    }
    func answered(_ wish: Following.Wish, by edges: [UInt16]) { machine.joined(wish, by: edges) }
    func rested(_ wish: Following.Wish) -> [Command] { machine.rested(wish) }
    func failed(_ wish: Following.Wish) -> [Command] { machine.failed(wish) }
    func loops(of campaign: CampaignID) -> [UInt16] { machine.loops(of: campaign) }
    func left(_ campaign: CampaignID, _ edge: UInt16) { machine.left(campaign, edge) }
    func retire(_ campaign: CampaignID) -> Bool { machine.retire(campaign) }
    func moved(_ slot: Slot) -> [UInt16] { machine.moved(slot) }
    func closed() -> [(slot: Slot, loops: [UInt16])] { machine.closed() }
    func takeUntold(_ changed: [CampaignID]) -> [CampaignID] { machine.takeUntold(changed) }
    func isNews(_ clients: Int, of campaign: CampaignID) -> Bool { machine.isNews(clients, of: campaign) }
    func told(_ clients: Int, of campaign: CampaignID) { machine.told(clients, of: campaign) }
    func owes(_ campaign: CampaignID) { machine.owes(campaign) }
}

struct FollowingTests {
    private static let at = Timestamp(milliseconds: 1_800_000_000_000)
    private static let campaign = CampaignID(UUIDv7(at: at, random: 7))
    private static let slot = Slot(of: campaign)
    private static let fresh = Following.Wish(campaign: campaign, after: nil)
    private static let resumed = Following.Wish(campaign: campaign, after: Position(epoch: 4, seq: 2))

    private static func command(_ edge: UInt16, _ wish: Following.Wish = fresh, connection: UInt32 = 0) -> Command {
        Command(
            campaign: wish.campaign,
            ticket: ReplyTicket(edge: edge, connection: connection, generation: 1, request: nil),
            receivedAt: at, body: .subscribe(after: wish.after))
    }

    private static func connections(_ commands: [Command]) -> [UInt32] { commands.map(\.ticket.connection) }

    @Test func `wishes that are alike are asked for once, and those that come meanwhile once more`() {
        let following = Held()
        let first = following.wished(Self.command(0, connection: 1), after: nil)
        #expect(Self.connections(first) == [1])
        #expect(following.wished(Self.command(1, connection: 2), after: nil).isEmpty)
        #expect(following.wished(Self.command(0, connection: 3), after: nil).isEmpty)
        // Another position is another question.
        let other = following.wished(Self.command(1, Self.resumed, connection: 4), after: Self.resumed.after)
        #expect(Self.connections(other) == [4])
        let next = following.joined(Self.fresh, by: [0])
        #expect(Self.connections(next) == [2, 3])
        #expect(following.loops(of: Self.campaign) == [0])
        #expect(following.joined(Self.fresh, by: [1, 0]).isEmpty)
        #expect(following.loops(of: Self.campaign) == [0, 1])
        #expect(following.joined(Self.resumed, by: [1]).isEmpty)
        #expect(following.loops(of: Self.campaign) == [0, 1])
    }

    @Test func `after an answer a wish rests, and whoever comes meanwhile is asked for together`() {
        let following = Held()
        _ = following.wished(Self.command(0, connection: 1), after: nil)
        following.answered(Self.fresh, by: [0])
        #expect(following.loops(of: Self.campaign) == [0])
        #expect(following.wished(Self.command(1, connection: 2), after: nil).isEmpty)
        #expect(following.wished(Self.command(0, connection: 3), after: nil).isEmpty)
        #expect(Self.connections(following.rested(Self.fresh)) == [2, 3])
        following.answered(Self.fresh, by: [1, 0])
        following.left(Self.campaign, 0)
        following.left(Self.campaign, 1)
        #expect(!following.retire(Self.campaign), "the rest is not over")
        #expect(following.rested(Self.fresh).isEmpty)
        #expect(following.retire(Self.campaign))
        #expect(Self.connections(following.wished(Self.command(0, connection: 4), after: nil)) == [4])
    }

    @Test func `the subscription ends with the last loop, and not before`() {
        let following = Held()
        _ = following.wished(Self.command(0), after: nil)
        _ = following.joined(Self.fresh, by: [0])
        _ = following.wished(Self.command(1), after: nil)
        following.left(Self.campaign, 0)
        // A wish is under way: the owner must not be told that nobody follows.
        #expect(!following.retire(Self.campaign))
        _ = following.joined(Self.fresh, by: [1])
        #expect(!following.retire(Self.campaign))
        following.left(Self.campaign, 1)
        #expect(following.retire(Self.campaign))
        #expect(!following.retire(Self.campaign), "it is told once")
    }

    @Test func `a wish that fails ends the subscription of those who have left meanwhile`() {
        let following = Held()
        _ = following.wished(Self.command(0), after: nil)
        _ = following.joined(Self.fresh, by: [0])
        _ = following.wished(Self.command(1), after: nil)
        following.left(Self.campaign, 0)
        #expect(following.failed(Self.fresh).isEmpty)
        #expect(following.retire(Self.campaign))
        // One that was never granted needs no end.
        _ = following.wished(Self.command(1), after: nil)
        #expect(following.failed(Self.fresh).isEmpty)
        #expect(!following.retire(Self.campaign))
    }

    @Test func `a failure passes the turn to those who have waited`() {
        let following = Held()
        _ = following.wished(Self.command(0, connection: 1), after: nil)
        _ = following.wished(Self.command(1, connection: 2), after: nil)
        #expect(Self.connections(following.failed(Self.fresh)) == [2])
        #expect(!following.retire(Self.campaign))
        _ = following.wished(Self.command(1, connection: 3), after: nil)
        #expect(Self.connections(following.joined(Self.fresh, by: [1])) == [3])
        #expect(following.joined(Self.fresh, by: [1]).isEmpty)
        #expect(following.loops(of: Self.campaign) == [1])
    }

    @Test func `a slot that moves, or a link that is lost, sends every loop to ask anew`() {
        for isLoss in [false, true] {
            let following = Held()
            _ = following.wished(Self.command(1), after: nil)
            _ = following.joined(Self.fresh, by: [1, 0])
            if isLoss {
                let closed = following.closed()
                #expect(closed.map(\.slot) == [Self.slot] && closed.map(\.loops) == [[0, 1]])
                #expect(following.closed().isEmpty)
            } else {
                #expect(following.moved(Slot((Self.slot.index + 1) % 4096)).isEmpty)
                #expect(following.moved(Self.slot) == [0, 1])
                #expect(following.moved(Self.slot).isEmpty)
            }
            #expect(following.loops(of: Self.campaign).isEmpty)
            #expect(!following.retire(Self.campaign), "there is no subscription left to end")
        }
    }

    @Test func `an answer that is under way while the slot moves brings events from then on`() {
        let following = Held()
        _ = following.wished(Self.command(0), after: nil)
        _ = following.joined(Self.fresh, by: [0])
        _ = following.wished(Self.command(1), after: nil)
        #expect(following.moved(Self.slot) == [0])
        _ = following.joined(Self.fresh, by: [1])
        #expect(following.loops(of: Self.campaign) == [1])
        following.left(Self.campaign, 1)
        #expect(following.retire(Self.campaign))
    }

    @Test func `the owner is told of clients after a subscription and after changes alone`() {
        let following = Held()
        #expect(following.takeUntold([Self.campaign]).isEmpty, "nothing is subscribed to")
        _ = following.wished(Self.command(0), after: nil)
        #expect(following.takeUntold([Self.campaign]).isEmpty)
        _ = following.joined(Self.fresh, by: [0])
        #expect(following.takeUntold([]) == [Self.campaign])
        #expect(following.isNews(3, of: Self.campaign))
        following.told(3, of: Self.campaign)
        #expect(following.takeUntold([]).isEmpty)
        #expect(following.takeUntold([Self.campaign]) == [Self.campaign])
        #expect(!following.isNews(3, of: Self.campaign) && following.isNews(4, of: Self.campaign))
        following.owes(Self.campaign)
        #expect(following.takeUntold([]) == [Self.campaign])
        // A new subscription knows nothing of the old one.
        _ = following.moved(Self.slot)
        #expect(!following.isNews(4, of: Self.campaign))
        _ = following.wished(Self.command(0), after: nil)
        _ = following.joined(Self.fresh, by: [0])
        #expect(following.takeUntold([]) == [Self.campaign] && following.isNews(3, of: Self.campaign))
    }
}
