"""Three nodes that serve together: any of them takes any request. cluster_moves.py lets them come and go."""

import asyncio
import contextlib

import client
import http1
import suite
from cluster_nodes import Cluster, Follower, Voting, all_see_the_tally, follow
from node import until
from suite import test, within


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


if __name__ == "__main__":
    arguments = suite.parser("cluster").parse_args()
    suite.run(arguments.only, parallel=2)
