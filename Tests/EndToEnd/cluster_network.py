"""Nodes in network namespaces whose ways to each other are cut while people vote on them: what cannot go straight goes
through a third node, who is cut off gives its slots away, and nothing acknowledged is lost or doubled.
"""

import asyncio
import contextlib
import time

import client
import http1
import node as nodes
import suite
from cluster_nodes import Voting, all_see_the_tally, epochs, follow
from namespaces import Network, as_root
from node import until
from suite import test, within

# Only a hang reaches it; what it takes is printed.
SERVICE_SECONDS = 30


async def ready(node):
    """What the node says of itself to a balancer."""
    reply = await http1.request(node, "GET", "/health/ready")
    return reply.status, reply.data["status"]


async def becomes(node, status, what, seconds=SERVICE_SECONDS):
    async def is_so():
        return await ready(node) == status

    await until(is_so, seconds, what)


def links(node):
    """How often links of a node opened straight and through another node, by peer."""
    opened = {}
    for line in node.log.read_text().splitlines():
        if '"event":"link.open"' in line:
            peer = line.split('"peer":"')[1].split('"')[0]
            through = line.split('"through":"')[1].split('"')[0]
            opened.setdefault(peer, []).append(through)
    return opened


async def votes_through_a_cut(cut, mend):
    """People vote while the polls' owner and another node cannot speak straight to each other."""
    async with Network() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "a", "abc")
        followers = await follow(stack, cluster, "abc", voting)
        async with voting:
            await voting.more()
            moves = (await cluster.sql("SELECT count(*) FROM ownership_log"))[0]
            since = time.monotonic()
            cut(cluster)
            await until(lambda: "c" in links(cluster.b).get("a", []), what="a link through the third node")
            found = time.monotonic() - since
            await voting.more()
            # Those that follow at the other end of the detour see what the owner's own clients see.
            for follower in followers:
                updates = follower.read().updates
                await follower.sees(lambda f: f.updates > updates, "news in spite of the cut")
            for node in cluster.all():
                assert await ready(node) == (200, "ready"), await ready(node)
            mend(cluster)
            await until(lambda: links(cluster.b)["a"][-1] == "", what="a straight link again")
            await voting.more()
            await voting.close(cluster.b)
        await all_see_the_tally(followers, cluster.c, voting)
        assert moves == (await cluster.sql("SELECT count(*) FROM ownership_log"))[0], "slots moved for nothing"
        return f"a way around after {found:.2f} s; {voting.figure}"


@test
@within(240)
async def who_reaches_nothing_but_its_clients_sends_them_away_to_come_back_elsewhere():
    async with Network(own_server=True) as cluster, contextlib.AsyncExitStack() as stack:
        polls, sockets, places = [], [], []
        for home in "ab":
            campaign = await cluster.campaign_of(home)
            polls.append(await client.poll(cluster.c, campaign, type="UNIQUE", durationSeconds=1800))
            # From an address that the node reaches though it does not reach the stores.
            connecting = client.websocket(cluster.a, local_addr=(cluster.aside, 0))
            sockets.append(await stack.enter_async_context(connecting))
            assert (await sockets[-1].subscribe(campaign["id"]))["op"] == "subscribed"
            ack = await sockets[-1].vote(polls[-1], 1, voter="early")
            assert ack["status"] == "counted", ack
            places.append({"epoch": ack["epoch"], "seq": ack["seq"]})
        cluster.part("a", "b", "c")
        cluster.cut_stores("a")
        since = time.monotonic()
        # What is asked of it is answered: not done, or not known to be.
        replies = await asyncio.gather(
            *(socket.vote(poll, 0, voter=f"v{n}") for socket, poll in zip(sockets, polls) for n in range(20))
        )
        assert {reply.get("code") for reply in replies} <= {"unavailable", "timeout"}, replies[:3]
        await cluster.settled("b", "c")
        # Who follows what lives elsewhere is sent away, and who follows what the node takes for its own.
        assert [await socket.close_code(120) for socket in sockets] == [4503, 4503], [socket.closed for socket in sockets]
        took = time.monotonic() - since
        # They come back on another node, with what they knew and with the votes of which they know nothing.
        for poll, place in zip(polls, places):
            async with client.websocket(cluster.b) as socket:
                state = await socket.subscribe(poll["campaignId"], after=place)
                assert state["op"] == "subscribed" and client.position(state) >= (place["epoch"], place["seq"]), state
                assert state["recovered"] or state["poll"]["votes"][1] == 1, state
                for number in range(20):
                    ack = await socket.vote(poll, 0, voter=f"v{number}")
                    assert ack["op"] == "ack" and ack["status"] in ("counted", "same"), ack
        for poll in polls:
            tally = await cluster.tallies(poll, "bc")
            assert tally["votes"] == [20, 1, 0], tally
        assert cluster.a.process.poll() is None, "it has heard of nothing"
        print(f"figure: cut off from all but its clients: they were sent away after {took:.2f} s")


@test
@within(120)
async def two_nodes_that_cannot_reach_each_other_speak_through_the_third():
    figure = await votes_through_a_cut(lambda cluster: cluster.part("a", "b"), lambda cluster: cluster.join("a", "b"))
    print(f"figure: link cut both ways: {figure}")


@test
@within(120)
async def a_cut_in_one_direction_is_a_cut():
    figure = await votes_through_a_cut(lambda cluster: cluster.cut("a", "b"), lambda cluster: cluster.mend("a", "b"))
    print(f"figure: link cut one way: {figure}")


@test
@within(120)
async def who_reaches_no_peer_gives_its_slots_away_and_takes_part_again_later():
    async with Network() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "a", "bc")
        followers = await follow(stack, cluster, "bc", voting)
        aside = await client.poll(cluster.a, await cluster.campaign_of("b"), durationSeconds=1800)
        async with voting:
            await voting.more()
            before = await epochs(cluster, voting)
            since = time.monotonic()
            cluster.part("a", "b", "c")
            await becomes(cluster.a, (503, "isolated"), "the node to notice that it is cut off")
            noticed = time.monotonic() - since
            took = await voting.service(since, before, SERVICE_SECONDS)
            await cluster.settled("b", "c")
            await voting.more()
            # Its clients get a definite answer: what they ask for lives where it cannot reach.
            refused = await client.vote(cluster.a, aside, option=0, key="from nowhere")
            assert refused.status in (503, 504), refused.body
            # It is well all the same: a supervisor that started it anew would gain nothing.
            status, out, err = await nodes.command("health", "--url", cluster.a.base)
            assert status == 0, (status, out + err)
            assert await ready(cluster.b) == (200, "ready") and await ready(cluster.c) == (200, "ready")
            cluster.join("a", "b", "c")
            await becomes(cluster.a, (200, "ready"), "the node to take part again")
            await cluster.settled()
            assert (await client.vote(cluster.a, aside, option=0, key="from nowhere")).status == 200
            await voting.more()
            await voting.close(cluster.c)
        await all_see_the_tally(followers, cluster.a, voting)
        print(
            f"figure: cut off from all peers: noticed after {noticed:.2f} s, its slots served again after {took:.2f} s;"
            f" {voting.figure}"
        )


@test
@within(120)
async def who_reaches_nothing_is_replaced_and_leaves():
    async with Network() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "a", "bc")
        followers = await follow(stack, cluster, "bc", voting)
        async with voting:
            await voting.more()
            before = await epochs(cluster, voting)
            since = time.monotonic()
            cluster.unplug("a")
            took = await voting.service(since, before, SERVICE_SECONDS)
            await cluster.settled("b", "c")
            cluster.plug("a")
            status = await cluster.a.ended()
            await voting.more()
            await cluster.a.start()
            await cluster.settled()
            await voting.more()
            await voting.close(cluster.b)
        assert status == 75, (status, cluster.a.log_tail())
        await all_see_the_tally(followers, cluster.a, voting)
        stale = await cluster.sql(
            "SELECT slot, lsn FROM (SELECT slot, lsn, epoch, max(epoch) OVER (PARTITION BY slot ORDER BY lsn) AS highest"
            " FROM journal) rows WHERE epoch < highest"
        )
        assert not stale, f"rows of an older epoch after a newer one: {stale}"
        print(f"figure: cut off from everything: its slots served again after {took:.2f} s; {voting.figure}")


if __name__ == "__main__":
    as_root()
    arguments = suite.parser("cluster network").parse_args()
    suite.run(arguments.only, parallel=3)
