"""Three nodes whose stores have their troubles, all together or one of them alone, while people vote on every node:
nothing acknowledged is lost, nothing counts twice, every request is answered, and service is back by itself.
"""

import asyncio
import contextlib
import time

import client
import database
import http1
import node as nodes
import suite
from cluster_nodes import Cluster, Voting, all_see_the_tally, epochs, follow
from node import until
from proxy import Proxy
from suite import test, within

# Only a hang reaches it; what it takes is printed.
SERVICE_SECONDS = 15


async def passed(seconds):
    """Waits until a time has passed: how long a trouble lasts is part of it."""
    end = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= end, seconds + 60, "the time to pass")


class Proxied(Cluster):
    """A cluster whose nodes reach each store through a proxy of their own: `to_postgres[name]`, `to_redis[name]`."""

    async def prepare(self):
        self.to_postgres, self.to_redis = {}, {}
        for name in self.names:
            for proxies, url in ((self.to_postgres, self.url), (self.to_redis, self.redis.url)):
                proxies[name] = await self.stack.enter_async_context(Proxy(port_of(url)))

    def node(self, name):
        node = super().node(name)
        for variable, proxies in (("DATABASE_URL", self.to_postgres), ("REDIS_URL", self.to_redis)):
            url = node.environment[variable]
            node.environment[variable] = url.replace(f":{port_of(url)}/", f":{proxies[name].port}/")
        return node


def port_of(url):
    return int(url.rsplit(":", 1)[1].split("/")[0])


def no_node_ended(cluster):
    ended = {name: node.process.returncode for name, node in cluster.nodes.items() if node.process.poll() is not None}
    assert not ended, f"nodes ended with {ended}"


async def endure(trouble, what, rounds=1):
    """People vote on three nodes with a PostgreSQL of their own, with trouble in the middle of it."""
    async with Cluster(own_server=True) as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "ab", "abc")
        followers = await follow(stack, cluster, "abc", voting)
        async with voting:
            for _ in range(rounds):
                await voting.more()
                await trouble(cluster, voting)
                # On each node votes are acknowledged again, without anybody's help.
                await voting.more()
                no_node_ended(cluster)
            await voting.close(cluster.c)
        await all_see_the_tally(followers, cluster.a, voting)
        await cluster.settled()
        print(f"figure: {what}: {voting.figure}")


@test
@within(120)
async def postgres_is_restarted_under_three_nodes():
    async def restart(cluster, voting):
        await asyncio.to_thread(cluster.server.stop)
        await asyncio.to_thread(cluster.server.start)

    await endure(restart, "PostgreSQL restarted twice", rounds=2)


@test
@within(120)
async def postgres_is_away_for_ten_seconds_under_three_nodes():
    async def absence(cluster, voting):
        await asyncio.to_thread(cluster.server.stop)
        await passed(10)
        for node in cluster.all():
            assert (await http1.request(node, "GET", "/health/live")).status == 200
            # What a container is asked for: an outage of the database must not end every node.
            status, out, err = await nodes.command("health", "--url", node.base)
            assert status == 0, (status, out + err)
        await asyncio.to_thread(cluster.server.start)

    await endure(absence, "PostgreSQL away for 10 s")


@test
@within(120)
async def every_commit_is_stalled_for_ten_seconds_under_three_nodes():
    async def stall(cluster, voting):
        server = cluster.server
        await asyncio.to_thread(server.stall_commits)
        await until(server.waiting_commits, what="commits that wait")
        await passed(10)
        assert await asyncio.to_thread(server.waiting_commits), "no commit waits any more"
        # Not only rows of the journal wait: no node can renew its lease.
        held = await asyncio.to_thread(
            server.patient, "SELECT name FROM node_lease WHERE NOT dead AND expires > clock_timestamp()", cluster.url
        )
        assert not held, f"{held} have renewed their leases"
        await asyncio.to_thread(server.release_commits)

    await endure(stall, "commits stalled for 10 s, those of leases too")


@test
@within(120)
async def postgres_is_frozen_for_ten_seconds_under_three_nodes():
    async def freeze(cluster, voting):
        cluster.server.freeze()
        await passed(10)
        cluster.server.resume()

    await endure(freeze, "PostgreSQL frozen for 10 s")


@test
@within(120)
async def redis_is_put_back_to_an_old_state_that_names_other_owners():
    async with Cluster("ab") as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "ab", "ab")
        followers = await follow(stack, cluster, "ab", voting)
        async with voting:
            await voting.more()
            await asyncio.to_thread(cluster.redis.keep_copy)
            old = cluster.redis.table_version()
            await cluster.add("c")
            await cluster.settled()
            await until(lambda: cluster.redis.table_version() > old, what="a newer table")
            newest = int((await cluster.sql("SELECT version FROM placement"))[0])
            await asyncio.to_thread(cluster.redis.kill)
            cluster.redis.put_copy_back()
            await asyncio.to_thread(cluster.redis.start)
            # One that knows nothing but what the old table says joins, while nobody has written another.
            await cluster.add("d")
            await voting.more()
            await cluster.settled()
            await until(lambda: cluster.redis.table_version() > newest, what="a table above all old ones")
            await voting.more()
            await voting.close(cluster.d)
        assert not voting.errors and not voting.unknowns, (voting.errors, voting.unknowns)
        await all_see_the_tally(followers, cluster.c, voting)
        print(f"figure: Redis put back: {voting.figure}")


@test
@within(120)
async def redis_holds_a_table_above_those_of_a_database_that_was_put_back():
    async with Cluster("ab", own_server=True) as cluster:
        await asyncio.to_thread(cluster.server.stop)
        await asyncio.to_thread(cluster.server.keep_copy)
        await asyncio.to_thread(cluster.server.start)
        await cluster.add("c")
        await cluster.settled()

        async def versions():
            reply = await http1.request(cluster.a, "GET", "/admin/placement/diff")
            if reply.status != 200 or not reply.data["converged"]:
                return None
            # A table that says the same once more may be on its way.
            return reply.data["versions"] if len(set(reply.data["versions"].values())) == 1 else None

        before = (await until(versions, what="nodes and stores to agree"))["redis"]
        await asyncio.to_thread(cluster.server.kill)
        await asyncio.to_thread(cluster.server.put_copy_back)
        await asyncio.to_thread(cluster.server.start)
        # The database has never heard of the newcomer, which ends; the others share its slots.
        assert await cluster.c.ended() == 75, cluster.c.log_tail()
        await cluster.settled("a", "b")
        await until(lambda: cluster.redis.table_version() > before, what="a table above the one of the lost future")
        after = await until(versions, what="nodes and stores to agree again")
        assert after["redis"] > before, (before, after)
        # What is no table at all is replaced, however high its version seems to be.
        cluster.redis.command("SET", cluster.redis.table_key, "zzzzzzzzzzzzzzzz")

        async def is_ours():
            found = await versions()
            return found and found["redis"] > after["redis"] and cluster.redis.table_version() < 1 << 53

        await until(is_ours, what="a table in the place of something else")


@test
@within(120)
async def each_node_in_turn_is_cut_off_from_redis():
    async with Proxied() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "a", "abc")
        followers = await follow(stack, cluster, "bc", voting)
        async with voting:
            await voting.more()
            for name, proxy in cluster.to_redis.items():
                # Once it is told so, once it is left waiting.
                for part in (proxy.cut, proxy.swallow):
                    part()
                    await voting.more(100)
                    proxy.heal()
            # A node dies while another one waits for Redis in vain: who takes over does not.
            for name in "bc":
                cluster.to_redis[name].swallow()
            before = await epochs(cluster, voting)
            assert not voting.errors and not voting.unknowns, (voting.errors, voting.unknowns)
            voting.booths[0].node_may_end = True
            cluster.a.kill()
            took = await voting.service(time.monotonic(), before, SERVICE_SECONDS)
            await cluster.a.start()
            for name in "bc":
                cluster.to_redis[name].heal()
            await voting.more(100)
            await voting.close(cluster.b)
        await all_see_the_tally(followers, cluster.a, voting)
        await cluster.settled()
        print(f"figure: cut off from Redis: a dead node's slots served again after {took:.2f} s; {voting.figure}")


async def alone_without_postgres(part):
    """The owner of polls is cut off from PostgreSQL alone: others take over, it ends, and takes part again."""
    async with Proxied() as cluster, contextlib.AsyncExitStack() as stack:
        voting = await Voting.held(cluster, "ab", "abc")
        followers = await follow(stack, cluster, "bc", voting)
        voting.booths[0].node_may_end = True
        aside = await client.poll(cluster.a, await cluster.campaign_of("a"), durationSeconds=1800)
        async with voting:
            await voting.more()
            before = await epochs(cluster, voting)
            proxy = cluster.to_postgres["a"]
            since = time.monotonic()
            part(proxy)
            took = await voting.service(since, before, SERVICE_SECONDS, voting.elections[:1])
            # By now it may acknowledge nothing for the slots that were its own, and says so.
            reply = await client.vote(cluster.a, aside, option=0)
            assert reply.status in (503, 504), reply.body
            # What lives on others is reached through it as ever.
            other = await http1.request(cluster.a, "GET", f"/v1/campaigns/{voting.elections[1].poll['campaignId']}")
            assert other.status == 200, other.body
            proxy.heal()
            assert await cluster.a.ended() == 75, cluster.a.log_tail()
            await cluster.a.start()
            await cluster.settled()
            await voting.more()
            await voting.close(cluster.c)
        await all_see_the_tally(followers, cluster.a, voting)
        print(f"figure: owner cut off from PostgreSQL: served again after {took:.2f} s; {voting.figure}")


@test
@within(120)
async def an_owner_whose_connections_to_postgres_are_cut_is_replaced_and_returns():
    await alone_without_postgres(Proxy.cut)


@test
@within(120)
async def an_owner_whose_words_to_postgres_vanish_is_replaced_and_returns():
    await alone_without_postgres(Proxy.swallow)


if __name__ == "__main__":
    arguments = suite.parser("cluster stores").parse_args()
    suite.run(arguments.only, parallel=2)
