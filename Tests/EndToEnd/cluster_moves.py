"""Nodes of a cluster come and go while people vote on all of them, on those that go too."""

import asyncio
import contextlib
import signal
import time

import client
import http1
import node as nodes
import suite
from cluster_following import Numbers
from cluster_nodes import Cluster, ShortPoll, Voting, all_see_the_tally, epochs, follow, undisturbed
from node import until
from pauses import all_have_one_vote, figure, flushes, grown, hand_offs, many_polls
from suite import test, within

# Only a hang reaches it; what it takes is printed.
SERVICE_SECONDS = 15
SETTLE_SECONDS = 2
CAMPAIGNS = 200


@contextlib.asynccontextmanager
async def crash_of(cluster, name):
    """People vote in polls of the node `name` and follow them, on all nodes, while it crashes and another takes over:
    who was there goes on at another. Yields the voting and a wait for service by the next owner."""
    stays = [other for other in cluster.names if other != name]
    voting = await Voting.held(cluster, name, cluster.names, leaves=name)
    ends = [election.poll["endsAt"] for election in voting.elections]
    numbers = Numbers(cluster.nodes[stays[0]], [election.poll["campaignId"] for election in voting.elections])
    async with contextlib.AsyncExitStack() as stack:
        followers = await follow(stack, cluster, cluster.names, voting, leaves=name)
        async with voting, numbers:
            await voting.more()
            before = await epochs(cluster, voting)

            async def service(since):
                return await voting.service(since, before, SERVICE_SECONDS)

            yield voting, service
            await voting.more()
            await numbers.close(followers)
            await voting.close(cluster.nodes[stays[0]])
        await all_see_the_tally(followers, cluster.nodes[stays[1]], voting)
    for election, end in zip(voting.elections, ends):
        assert (await client.read_poll(cluster.nodes[stays[1]], election.poll))["endsAt"] == end


@test
@within(180)
async def every_node_is_restarted_in_turn_while_people_vote():
    async with Cluster() as cluster:
        votings = []
        for name in "abc":
            async with undisturbed(cluster, name, leaves=name) as voting:
                cluster.nodes[name].signal(signal.SIGTERM)
                assert await cluster.nodes[name].ended() == 0, cluster.nodes[name].log_tail()
                await cluster.nodes[name].start()
                await cluster.settled()
            votings.append(voting)
        # The tallies of the first rounds have been on every node since.
        for voting in votings:
            for election in voting.elections:
                tally = await cluster.tallies(election.poll)
                faults = election.model.faults(tally["votes"], tally["totalVotes"])
                assert not faults, faults[:5]
        acks, untaken = sum(voting.acks for voting in votings), sum(voting.untaken for voting in votings)
        print(f"figure: rolling restart: {acks} votes, none failed; {untaken} crossed a goodbye")


@test
@within(120)
async def the_owner_is_killed_while_people_vote_on_all_nodes():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        async with crash_of(cluster, "a") as (voting, service):
            short = await ShortPoll.launched(stack, cluster, "a", leaves="a")
            mark, share = await cluster.mark(), (await cluster.shares())["a"]
            killed = time.monotonic()
            cluster.a.kill()
            took = await service(killed)
            for name in "bc":
                await short.vote(name, 0, f"late {name}")
            await cluster.settled("b", "c")
            await cluster.moved_once(mark, share)
            await voting.more()
        await short.ends("bc")
        print(f"figure: owner killed: votes acknowledged again after {took:.2f} s; {voting.figure}")


@test
@within(120)
async def a_node_drains_while_people_vote_on_all_nodes():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        polls = await many_polls(cluster, CAMPAIGNS)
        async with undisturbed(cluster, "a", leaves="a") as voting:
            short = await ShortPoll.launched(stack, cluster, "a", leaves="a")
            mark, share = await cluster.mark(), (await cluster.shares())["a"]
            before = await flushes([cluster.b, cluster.c])
            started = time.monotonic()
            cluster.a.signal(signal.SIGTERM)
            await cluster.settled("b", "c")
            took = time.monotonic() - started
            after = await flushes([cluster.b, cluster.c])
            for name in "bc":
                await short.vote(name, 0, f"late {name}")
            status = await cluster.a.ended()
            assert status == 0, cluster.a.log_tail()
            await cluster.moved_once(mark, share)
        await all_have_one_vote(cluster.b, polls)
        await short.ends("bc")
        assert not any(follower.resyncs for follower in short.followers), "followers had to start over"
        print(
            f"figure: drain of a third of the slots: {took:.2f} s, {voting.acks} votes and {voting.numbers} signals,"
            f" none failed; {voting.untaken} votes crossed a goodbye"
        )
        print(f"figure: drain: {figure(await hand_offs(cluster, mark), grown(before, after))}")


async def knock_until_refused(node, poll, name):
    """Single requests, each on a connection of its own, from somebody who never looks at the node's health; returns how
    many were answered, all of them well."""
    count, was_reset = 0, False
    while True:
        try:
            reply = await client.vote(node, poll, option=0, key=f"{name}-{count}")
        except ConnectionRefusedError:
            return count
        except (OSError, EOFError) as error:
            # In the microseconds in which it stops listening the kernel may still connect somebody; never before.
            assert not was_reset, f"two connections ended without an answer: {error!r}"
            was_reset = True
            continue
        assert not was_reset, "a connection ended without an answer, and others after it did not"
        assert reply.status == 200 and reply.data["status"] == "counted", reply.body
        count += 1


async def vote_without_pause(node, poll, name, window=64):
    """Votes over one connection, many of them always on their way, until the node closes it; returns how many of them
    it took: those that it answered."""
    count, taken, waiting = 0, 0, set()
    async with client.websocket(node) as socket:
        while not socket.closed or waiting:
            while len(waiting) < window and not socket.closed:
                fields = {"campaign": poll["campaignId"], "poll": poll["id"], "option": 1, "key": f"{name}-{count}"}
                waiting.add(socket.post(op="vote", **fields))
                count += 1
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for reply in done:
                if not reply.exception():
                    assert reply.result().get("status") == "counted", reply.result()
                    taken += 1
        code, reason = socket.closed
        assert code == 1001 and reason.startswith("drain; retry="), socket.closed
    return taken


@test
@within(120)
async def a_node_that_leaves_answers_everything_that_it_takes():
    async with Cluster("ab") as cluster:
        poll = await client.poll(cluster.b, await cluster.campaign_of("b"), type="STANDARD")
        votes = [
            *(asyncio.create_task(knock_until_refused(cluster.a, poll, f"knock-{number}")) for number in range(3)),
            *(asyncio.create_task(vote_without_pause(cluster.a, poll, f"rush-{number}")) for number in range(3)),
        ]

        async def total():
            return (await client.read_poll(cluster.b, poll))["totalVotes"]

        async def they_vote():
            return await total() >= 500

        await until(they_vote, what="votes")
        cluster.a.signal(signal.SIGTERM)
        counts = await asyncio.gather(*votes)
        assert await cluster.a.ended() == 0, cluster.a.log_tail()
        # What had no answer when the connection closed was not taken.
        assert await total() == sum(counts), (await total(), counts)
        print(f"figure: a node that leaves answered {counts[:3]} single requests and {counts[3:]} votes of streams")


@test
@within(120)
async def a_node_is_drained_by_hand_and_taken_back_while_people_vote_on_all_of_them():
    async with Cluster() as cluster:
        # Whoever is connected to the drained node stays so.
        async with undisturbed(cluster, "a") as voting:
            started = time.monotonic()
            status, out, err = await nodes.command("drain", "a", "--url", cluster.b.base)
            assert status == 0, out + err
            await cluster.settled("b", "c")
            took = time.monotonic() - started
            assert (await http1.request(cluster.a, "GET", "/health/ready")).status == 503
            await voting.more()
            status, out, err = await nodes.command("drain", "a", "--back", "--url", cluster.a.base)
            assert status == 0, out + err
            await cluster.settled()
        assert (await http1.request(cluster.a, "GET", "/health/ready")).status == 200
        print(f"figure: drain by hand of a third of the slots: {took:.2f} s, {voting.acks} votes, none failed")


@test
@within(120)
async def a_fourth_node_joins_while_people_vote_and_takes_its_share():
    async with Cluster() as cluster:
        polls = await many_polls(cluster, CAMPAIGNS)
        async with undisturbed(cluster, "a") as voting:
            mark, givers = await cluster.mark(), [cluster.a, cluster.b, cluster.c]
            before = await flushes(givers)
            started = time.monotonic()
            await cluster.add("d")
            shares = await cluster.settled()
            took = time.monotonic() - started
            after = await flushes(givers)
            await cluster.moved_once(mark, shares["d"])
            # A newcomer is left alone until it has been there for a while.
            waited = await cluster.first_move(mark, "d")
            assert waited >= SETTLE_SECONDS, f"the first slot moved {waited} s after the newcomer came"
        await all_have_one_vote(cluster.d, polls)
        for election in voting.elections:
            assert await client.read_poll(cluster.d, election.poll) == await client.read_poll(cluster.a, election.poll)
        print(
            f"figure: join: the first slot moved {waited:.2f} s after the newcomer came; all {shares['d']} within {took:.2f} s"
            f" of its start; {voting.acks} votes, none failed"
        )
        print(f"figure: join: {figure(await hand_offs(cluster, mark), grown(before, after))}")


@test
@within(120)
async def an_owner_that_slept_leaves_and_does_no_harm():
    async with Cluster() as cluster:
        async with crash_of(cluster, "a") as (voting, service):
            mark, share = await cluster.mark(), (await cluster.shares())["a"]
            asleep = time.monotonic()
            cluster.a.signal(signal.SIGSTOP)
            took = await service(asleep)
            await until(lambda: time.monotonic() >= asleep + 10, what="the sleeper's time")
            # What its own clients had sent when it fell asleep, or before they noticed, is still without an answer; the
            # others have been served elsewhere for seconds.
            waiting = [began for began in voting.booths[0].under_way.values() if began < asleep + 5]
            assert waiting, "nobody waits for the sleeper"
            cluster.a.signal(signal.SIGCONT)
            status = await cluster.a.ended()
            assert status == 75, (status, cluster.a.log_tail())
            await cluster.settled("b", "c")
            await cluster.moved_once(mark, share)
        stale = await cluster.sql(
            "SELECT slot, lsn FROM (SELECT slot, lsn, epoch, max(epoch) OVER (PARTITION BY slot ORDER BY lsn) AS highest"
            " FROM journal) rows WHERE epoch < highest"
        )
        assert not stale, f"rows of an older epoch after a newer one: {stale}"
        print(
            f"figure: owner stopped: votes acknowledged again after {took:.2f} s; {len(waiting)} of its own clients"
            f" waited for it; {voting.figure}"
        )


@test
@within(120)
async def a_node_is_replaced_by_one_of_its_name_that_starts_beside_it():
    async with Cluster() as cluster:
        async with undisturbed(cluster, "a", leaves="a") as voting:
            mark, share = await cluster.mark(), (await cluster.shares())["a"]
            await cluster.replace("a", voting.more)
            await cluster.moved_once(mark, share)
        print(
            f"figure: replaced: the first slot moved {await cluster.first_move(mark, 'a'):.2f} s after the newcomer came;"
            f" {voting.acks} votes, none failed; {voting.untaken} crossed a goodbye"
        )


async def newcomer_and_returner():
    """A newcomer `d` comes, and then a process of the name `a`, while its older one runs. Returns how many seconds later
    the second came, after how many seconds each got its first slot, and who of them was the first to get one."""
    async with Cluster() as cluster:
        mark, old = await cluster.mark(), cluster.a
        try:
            newcomer = cluster.nodes["d"] = cluster.node("d")
            newcomer.spawn()

            async def came():
                return await cluster.sql("SELECT 1 FROM node_lease WHERE name = 'd'")

            await until(came, what="the newcomer's lease")
            await cluster.add("a")
            await cluster.settled()
        finally:
            old._close(failed=False)
        (late,) = await cluster.sql(
            "SELECT extract(epoch FROM max(started) FILTER (WHERE name = 'a') - max(started) FILTER (WHERE name = 'd'))"
            " FROM node_lease"
        )
        order = await cluster.sql(
            "SELECT n.name FROM ownership_log o JOIN node_lease n ON n.incarnation = o.to_node"
            f" WHERE o.id > {mark} AND n.name IN ('a', 'd') ORDER BY o.id LIMIT 1"
        )
        return float(late), await cluster.first_move(mark, "a"), await cluster.first_move(mark, "d"), order


@test
@within(240)
async def a_name_that_returns_is_given_slots_before_a_new_one_that_came_earlier():
    for _ in range(4):
        late, first, second, order = await newcomer_and_returner()
        # Who comes when the newcomer has nearly settled shows nothing.
        if late < SETTLE_SECONDS / 4:
            break
    assert order == ["a"], f"the first slot moved {first} s after a process of an old name came, {second} s after a new"
    print(f"figure: the first slot moved {first:.2f} s after an old name came, {second:.2f} s after a new one")


if __name__ == "__main__":
    arguments = suite.parser("cluster moves").parse_args()
    suite.run(arguments.only, parallel=2)
