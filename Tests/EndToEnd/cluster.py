"""Three nodes that serve together: any of them takes any request, and they come and go while people vote."""

import asyncio
import contextlib
import signal
import time

import client
import http1
import node as nodes
import suite
from cluster_nodes import Cluster, Follower, Voting, all_see_the_tally, epochs, follow
from node import until
from suite import test, within

# Only a hang reaches it; what it takes is printed.
SERVICE_SECONDS = 15
CAMPAIGNS = 200


async def many_polls(cluster):
    """Campaigns with running polls and votes on every node, so that slots that move have something in memory."""
    polls = []
    for _ in range(0, CAMPAIGNS, 20):
        campaigns = await asyncio.gather(*(client.campaign(cluster.b) for _ in range(20)))
        polls += await asyncio.gather(*(client.poll(cluster.c, campaign, type="UNIQUE") for campaign in campaigns))
    votes = await asyncio.gather(*(client.vote(cluster.b, poll, option=1, voter="early") for poll in polls))
    assert all(vote.status == 200 for vote in votes), [vote.body for vote in votes if vote.status != 200][:3]
    return polls


async def all_have_one_vote(node, polls):
    for poll in polls:
        assert (await client.read_poll(node, poll))["votes"] == [0, 1, 0], poll


async def hand_offs(cluster, mark):
    """The pauses of slots with campaigns that moved since `mark`, in milliseconds, ascending."""

    async def all_noted():
        rows = await cluster.sql(
            "SELECT o.pause_ms FROM ownership_log o WHERE o.id > "
            f"{mark} AND o.cause = 'hand-off' AND EXISTS (SELECT 1 FROM journal j WHERE j.slot = o.slot)"
        )
        return None if "" in rows else sorted(float(row) for row in rows)

    return await until(all_noted, what="the pauses of what moved")


def pause_figure(pauses):
    assert pauses, "no slot with a campaign has moved"
    return (
        f"{len(pauses)} slots with campaigns paused for {pauses[len(pauses) // 2]:.1f} ms (p50),"
        f" {pauses[int(len(pauses) * 0.99)]:.1f} ms (p99), {pauses[-1]:.1f} ms (longest)"
    )


@test
@within(120)
async def a_poll_is_launched_voted_in_and_cancelled_on_different_nodes():
    async with Cluster() as cluster:
        for owner in "abc":
            campaign = await cluster.campaign_of(owner)
            poll = await client.poll(cluster.a, campaign, type="UNIQUE")
            for number in range(30):
                reply = await client.vote(cluster.all()[number % 2 + 1], poll, option=number % 3, voter=f"v{number}")
                assert reply.status == 200 and reply.data["status"] == "counted", reply.body
            moved = await client.vote(cluster.c, poll, option=1, voter="v0")
            assert moved.data["status"] == "moved", moved.body
            tally = await cluster.tallies(poll)
            assert tally["votes"] == [9, 11, 10] and tally["totalVotes"] == 30, tally
            reply = await client.cancel(cluster.c, poll)
            assert reply.status == 200, reply.body
            tally = await cluster.tallies(poll)
            assert tally["status"] == "CANCELLED" and tally["votes"] == [9, 11, 10], tally
            late = await client.vote(cluster.b, poll, option=0, voter="late")
            assert late.code == "poll_closed", late.body


@test
@within(120)
async def of_fifty_launches_over_three_nodes_one_succeeds():
    async with Cluster() as cluster:
        campaign = await client.campaign(cluster.a)
        path = f"/v1/campaigns/{campaign['id']}/polls"
        body = {"question": "Who first?", "options": ["you", "me"], "durationSeconds": 600}
        replies = await asyncio.gather(
            *(http1.request(cluster.all()[number % 3], "POST", path, body) for number in range(50))
        )
        codes = sorted(reply.status for reply in replies)
        assert codes == [201] + [409] * 49, codes
        assert all(reply.code == "poll_running" for reply in replies if reply.status == 409)


@test
@within(120)
async def of_a_thousand_votes_of_one_voter_over_three_nodes_one_counts():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        poll = await client.poll(cluster.b, await client.campaign(cluster.a), type="UNIQUE")
        sockets = [await stack.enter_async_context(client.websocket(node)) for node in cluster.all()]
        replies = await asyncio.gather(
            *(sockets[number % 3].vote(poll, 1, voter="keen") for number in range(1000))
        )
        statuses = sorted(reply.get("status", reply.get("code")) for reply in replies)
        assert statuses == ["counted"] + ["same"] * 999, (statuses[0], set(statuses))
        tally = await cluster.tallies(poll)
        assert tally["votes"] == [0, 1, 0], tally


@test
@within(120)
async def subscribers_on_every_node_see_a_poll_that_lives_elsewhere():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        campaign = await cluster.campaign_of("a")
        followers = [await stack.enter_async_context(Follower.on(node, campaign)) for node in cluster.all()]
        poll = await client.poll(cluster.b, campaign)
        for follower in followers:
            await follower.sees(lambda f: f.started, "the start of the poll")
            assert follower.started[0]["id"] == poll["id"]
        for number in range(9):
            reply = await client.vote(cluster.all()[number % 3], poll, option=number % 3, key=f"k{number}")
            assert reply.status == 200, reply.body
        for follower in followers:
            await follower.sees(lambda f: f.poll["votes"] == [3, 3, 3], "all votes")
            assert follower.updates > 0
        assert (await client.cancel(cluster.c, poll)).status == 200
        for follower in followers:
            await follower.sees(lambda f: f.ended, "the end of the poll")
            assert follower.ended[0]["status"] == "CANCELLED" and follower.ended[0]["votes"] == [3, 3, 3]
        assert len({follower.position for follower in followers}) == 1, [f.position for f in followers]


@test
@within(120)
async def the_owner_is_killed_while_people_vote_on_the_others():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "a", "bc")
        ends = [election.poll["endsAt"] for election in voting.elections]
        followers = await follow(stack, cluster, "bc", voting)
        async with voting:
            await voting.more()
            before = await epochs(cluster, voting)
            cluster.a.kill()
            took = await voting.service(time.monotonic(), before, SERVICE_SECONDS)
            await voting.more()
            await voting.close(cluster.b)
        await all_see_the_tally(followers, cluster.c, voting)
        for election, end in zip(voting.elections, ends):
            assert (await client.read_poll(cluster.c, election.poll))["endsAt"] == end
        await cluster.settled("b", "c")
        print(
            f"figure: owner killed: votes acknowledged again after {took:.2f} s; {voting.acks} acknowledged,"
            f" {voting.unknowns} connections' votes unknown, errors {dict(voting.errors)}"
        )


@test
@within(120)
async def a_node_drains_while_people_vote_on_the_others():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        polls = await many_polls(cluster)
        voting = await Voting.held(cluster, "a", "bc")
        followers = await follow(stack, cluster, "bc", voting)
        mark = (await cluster.sql("SELECT max(id) FROM ownership_log"))[0]
        async with voting:
            await voting.more()
            started = time.monotonic()
            cluster.a.signal(signal.SIGTERM)
            status = await cluster.a.ended()
            took = time.monotonic() - started
            await voting.more()
            await voting.close(cluster.b)
        assert status == 0, cluster.a.log_tail()
        assert not voting.errors and not voting.unknowns, (voting.errors, voting.unknowns)
        await all_see_the_tally(followers, cluster.c, voting)
        resynced = [follower.resyncs for follower in followers if follower.resyncs]
        assert not resynced, "followers of a slot that was handed over had to start over"
        await cluster.settled("b", "c")
        await all_have_one_vote(cluster.b, polls)
        print(f"figure: drain of a third of the slots: {took:.2f} s, {voting.acks} votes, none failed")
        print(f"figure: drain: {pause_figure(await hand_offs(cluster, mark))}")


@test
@within(120)
async def a_node_is_drained_by_hand_and_taken_back_while_people_vote_on_all_of_them():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "a", "abc")
        followers = await follow(stack, cluster, "abc", voting)
        async with voting:
            await voting.more()
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
            await voting.more()
            await voting.close(cluster.a)
        assert not voting.errors and not voting.unknowns, (voting.errors, voting.unknowns)
        assert (await http1.request(cluster.a, "GET", "/health/ready")).status == 200
        # Whoever was connected to the drained node still is.
        await all_see_the_tally(followers, cluster.c, voting)
        print(f"figure: drain by hand of a third of the slots: {took:.2f} s, {voting.acks} votes, none failed")


@test
@within(120)
async def a_fourth_node_joins_while_people_vote_and_takes_its_share():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        before = await cluster.shares()
        polls = await many_polls(cluster)
        voting = await Voting.held(cluster, "a", "abc")
        followers = await follow(stack, cluster, "abc", voting)
        async with voting:
            await voting.more()
            mark = (await cluster.sql("SELECT max(id) FROM ownership_log"))[0]
            started = time.monotonic()
            await cluster.add("d")
            shares = await cluster.settled()
            took = time.monotonic() - started
            await voting.more()
            await voting.close(cluster.d)
        assert not voting.errors and not voting.unknowns, (voting.errors, voting.unknowns)
        moves = int((await cluster.sql(f"SELECT count(*) FROM ownership_log WHERE id > {mark}"))[0])
        assert moves == shares["d"], f"{moves} moves for {shares} after {before}"
        await all_see_the_tally(followers, cluster.d, voting)
        await all_have_one_vote(cluster.d, polls)
        print(f"figure: join: {moves} slots moved within {took:.2f} s, {voting.acks} votes, none failed")
        print(f"figure: join: {pause_figure(await hand_offs(cluster, mark))}")


@test
@within(120)
async def an_owner_that_slept_leaves_and_does_no_harm():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "a", "bc")
        followers = await follow(stack, cluster, "bc", voting)
        async with voting:
            await voting.more()
            before = await epochs(cluster, voting)
            asleep = time.monotonic()
            cluster.a.signal(signal.SIGSTOP)
            took = await voting.service(asleep, before, SERVICE_SECONDS)
            await until(lambda: time.monotonic() >= asleep + 10, what="the sleeper's time")
            cluster.a.signal(signal.SIGCONT)
            status = await cluster.a.ended()
            await voting.more()
            await voting.close(cluster.b)
        assert status == 75, (status, cluster.a.log_tail())
        await all_see_the_tally(followers, cluster.c, voting)
        stale = await cluster.sql(
            "SELECT slot, lsn FROM (SELECT slot, lsn, epoch, max(epoch) OVER (PARTITION BY slot ORDER BY lsn) AS highest"
            " FROM journal) rows WHERE epoch < highest"
        )
        assert not stale, f"rows of an older epoch after a newer one: {stale}"
        print(f"figure: owner stopped: votes acknowledged again after {took:.2f} s, errors {dict(voting.errors)}")


@test
@within(120)
async def votes_go_on_while_redis_is_killed_emptied_and_back():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "a", "abc")
        followers = await follow(stack, cluster, "abc", voting)
        async with voting:
            await voting.more()
            await until(cluster.redis.table_version, what="the placement table")
            cluster.redis.command("FLUSHALL")
            await voting.more()
            await until(cluster.redis.table_version, what="the placement table after the flush")
            await asyncio.to_thread(cluster.redis.kill)
            await voting.more()
            cluster.redis.forget()
            await asyncio.to_thread(cluster.redis.start)
            await voting.more()
            await until(cluster.redis.table_version, what="the placement table after the empty start")
            # Slots still change hands, and the table comes back.
            await asyncio.to_thread(cluster.redis.kill)
            await cluster.add("d")
            await cluster.settled()
            moved = int((await cluster.sql("SELECT version FROM placement"))[0])
            await asyncio.to_thread(cluster.redis.start)
            await until(lambda: cluster.redis.table_version() >= moved, what="the table with the newcomer")
            await voting.more()
            await voting.close(cluster.b)
        assert not voting.errors and not voting.unknowns, (voting.errors, voting.unknowns)
        await all_see_the_tally(followers, cluster.d, voting)


@test
@within(120)
async def a_node_is_replaced_by_one_of_its_name_that_starts_beside_it():
    async with Cluster() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "a", "bc")
        followers = await follow(stack, cluster, "bc", voting)
        async with voting:
            await voting.more()
            mark = (await cluster.sql("SELECT max(id) FROM ownership_log"))[0]
            old = cluster.nodes["a"]
            share = (await cluster.shares())["a"]
            stack.callback(old.kill)
            await cluster.add("a")
            await voting.more()
            old.signal(signal.SIGTERM)
            status = await old.ended()
            await voting.more()
            await voting.close(cluster.b)
        assert status == 0, old.log_tail()
        assert not voting.errors and not voting.unknowns, (voting.errors, voting.unknowns)
        moves = await cluster.sql(f"SELECT slot, count(*) FROM ownership_log WHERE id > {mark} GROUP BY slot")
        assert len(moves) == share and all(row.endswith("|1") for row in moves), (share, len(moves))
        await all_see_the_tally(followers, cluster.a, voting)


@test
@within(120)
async def every_node_is_restarted_in_turn_while_people_vote():
    async with Cluster() as cluster:
        campaign = await cluster.campaign_of("b")
        poll = await client.poll(cluster.a, campaign, type="UNIQUE", durationSeconds=1800)
        counted = 0
        for name in "abc":
            others = [node for other, node in cluster.nodes.items() if other != name]
            stopped = asyncio.Event()

            async def vote_on(node):
                count = 0
                while not stopped.is_set():
                    reply = await client.vote(node, poll, option=0, voter=f"{name}-{node.port}-{count}")
                    assert reply.status == 200 and reply.data["status"] == "counted", reply.body
                    count += 1
                return count

            voters = [asyncio.create_task(vote_on(node)) for node in others]
            try:
                cluster.nodes[name].signal(signal.SIGTERM)
                assert await cluster.nodes[name].ended() == 0
                await cluster.nodes[name].start()
                await cluster.settled()
            finally:
                stopped.set()
                counts = await asyncio.gather(*voters, return_exceptions=True)
            assert all(isinstance(count, int) for count in counts), counts
            counted += sum(counts)
        tally = await cluster.tallies(poll)
        assert tally["totalVotes"] == counted, (tally, counted)
        print(f"figure: rolling restart: {counted} votes over single requests, none failed")


if __name__ == "__main__":
    arguments = suite.parser("cluster").parse_args()
    suite.run(arguments.only, parallel=2)
