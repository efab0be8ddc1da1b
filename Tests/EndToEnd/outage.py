"""A node on PostgreSQL while that has its troubles: nothing acknowledged is lost, nothing counts twice, every request is
answered, the node goes on, and service is back by itself.
"""

import asyncio
import itertools
import signal
import time

import client
import database
import election
import http1
import node as nodes
import suite
from node import BINARY, Node, until
from proxy import Proxy
from suite import test, within

STRANGERS = itertools.count()


async def passed(seconds):
    """Waits until a time has passed: how long a trouble lasts is part of it."""
    end = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= end, seconds + 60, "the time to pass")


def stranger():
    """Somebody who has not voted: another vote of the same choice by the same voter needs no journal."""
    return f"stranger-{next(STRANGERS)}"


async def side_poll(node):
    """A poll for votes whose outcome nobody keeps books of."""
    return await client.poll(node, await client.campaign(node), type="UNIQUE", durationSeconds=1800)


async def endure(trouble, rounds=1, on_bad_disk=False, **options):
    """An election on a server of its own, with trouble in the middle of it."""
    async with database.Server(on_bad_disk) as server:
        url = await asyncio.to_thread(database.create, BINARY, server.url)
        async with Node(DATABASE_URL=url, **options) as node:
            run, elections, tasks = await election.hold(node)
            ended = asyncio.gather(*tasks)
            try:
                for _ in range(rounds):
                    await run.reach(run.acks + 500, ended)
                    await trouble(server, url, run, ended)
                    # Votes are accepted again, without anybody's help.
                    await run.reach(run.acks + 500, ended)
                    # While nobody votes, the tallies must be what the voters know.
                    run.shut()
                    await run.everyone_outside(len(tasks), ended)
                    faults = run.faults + await election.check(node, elections)
                    assert not faults, faults[:10]
                    await run.unlock()
            except BaseException:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(ended, *tasks, return_exceptions=True)
                raise
            await election.close(run, elections, tasks, ended)
            assert run.silent == 0, f"{run.silent} requests got no answer"
            assert node.process.poll() is None, "the node ended"
            print(f"figure: {trouble.__name__.replace('_', ' ')}: {run.acks} votes acknowledged, {run.unknowns} unknown"
                  " and sent again, all in the tally exactly once")  # fmt: skip


@test
@within(300)
async def the_server_is_restarted():
    async def restarts(server, url, run, ended):
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)

    await endure(restarts, rounds=3)


@test
@within(300)
async def the_server_dies():
    async def deaths(server, url, run, ended):
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)

    await endure(deaths, rounds=3)


@test
@within(300)
async def single_connections_are_killed():
    async def kills(server, url, run, ended):
        for _ in range(20):
            await run.reach(run.acks + 50, ended)
            await asyncio.to_thread(
                database.sql, server.url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tumulte' "
                "ORDER BY random() LIMIT 1",
            )  # fmt: skip

    await endure(kills)


@test
@within(300)
async def the_server_is_away_for_ten_seconds():
    async def absence(server, url, run, ended):
        aside = await side_poll(run.node)
        await asyncio.to_thread(server.stop)
        await passed(10)
        # Reads and subscriptions go on meanwhile, and the node stays ready: balancers must not empty it.
        poll = run.elections[0].poll
        assert (await client.read_poll(run.node, poll))["status"] == "RUNNING"
        assert (await http1.request(run.node, "GET", "/health/ready")).status == 200
        refused = await client.vote(run.node, aside, option=0, voter="somebody")
        assert refused.status in (503, 504), refused.body
        await asyncio.to_thread(server.start)

    await endure(absence)


@test
@within(300)
async def the_server_is_frozen_for_ten_seconds():
    async def stall(server, url, run, ended):
        server.freeze()
        await passed(10)
        server.resume()

    await endure(stall)


@test
@within(300)
async def every_commit_is_stalled_for_ten_seconds():
    async def stall(server, url, run, ended):
        # Those of the lease too: it runs out, and nobody else is there to take over.
        await asyncio.to_thread(server.stall_commits)
        await until(server.waiting_commits, what="commits that wait")
        await passed(10)
        await asyncio.to_thread(server.release_commits)

    await endure(stall)


@test
@within(300)
async def rows_of_the_journal_are_stalled_for_ten_seconds():
    async def lock(server, url, run, ended):
        # Everything else of the server goes on, the lease among it.
        await asyncio.to_thread(
            database.sql, url, "BEGIN; LOCK TABLE journal IN SHARE MODE; SELECT pg_sleep(10); COMMIT"
        )

    await endure(lock)


async def only_reads(server, is_so):
    for text in (
        f"ALTER SYSTEM SET default_transaction_read_only = {'on' if is_so else 'off'}", "SELECT pg_reload_conf()",
    ):  # fmt: skip
        await asyncio.to_thread(database.sql, server.url + "?options=-cdefault_transaction_read_only%3Doff", text)


@test
@within(300)
async def the_server_takes_no_writes():
    async def standstill(server, url, run, ended):
        aside = await side_poll(run.node)
        await only_reads(server, True)

        async def refused():
            return (await client.vote(run.node, aside, option=0, voter=stranger())).status == 503

        await until(refused, what="votes to be refused")
        await only_reads(server, False)

    await endure(standstill)


@test
async def votes_are_refused_where_the_lease_has_lapsed_before_the_first():
    async with database.Server() as server:
        async with Node(DATABASE_URL=await asyncio.to_thread(database.create, BINARY, server.url)) as node:
            poll = await side_poll(node)
            await only_reads(server, True)
            await passed(4)  # the lease of three seconds is not renewed
            answers = [await client.vote(node, poll, option=0, voter=stranger()) for _ in range(2)]
            # What was taken before anybody knew may yet be committed; after it nothing is taken.
            assert [answer.status for answer in answers] in ([504, 503], [503, 503]), answers
            await only_reads(server, False)

            async def counted():
                return (await client.vote(node, poll, option=0, voter="last")).status == 200

            await until(counted, what="votes to be accepted again")
            taken = [answer.status for answer in answers].count(504)
            assert (await client.read_poll(node, poll))["totalVotes"] == taken + 1


@test
@within(300)
async def the_disk_is_full():
    async def shortage(server, url, run, ended):
        aside = await side_poll(run.node)

        async def refused():
            return (await client.vote(run.node, aside, option=0, voter=stranger())).status == 503

        with server.trouble("full"):
            await until(refused, what="votes to be refused")
            assert "No space left on device" in run.node.log.read_text(), run.node.log_tail()

    await endure(shortage, on_bad_disk=True)


@test
@within(300)
async def the_disk_of_the_log_is_full_and_the_server_dies_of_it():
    async def shortage(server, url, run, ended):
        aside = await side_poll(run.node)

        async def refused():
            return (await client.vote(run.node, aside, option=0, voter=stranger())).status in (503, 504)

        with server.trouble("full-log"):
            await until(refused, what="votes to be refused")
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)

    await endure(shortage, on_bad_disk=True)


@test
@within(300)
async def every_sync_is_slow():
    async def slowness(server, url, run, ended):
        with server.trouble("slow"):
            await run.reach(run.acks + 300, ended)

    await endure(slowness, on_bad_disk=True)


@test
@within(300)
async def a_server_put_back_to_an_older_state_is_named_and_gone_on_from():
    async with database.Server() as server:
        url = await asyncio.to_thread(database.create, BINARY, server.url)
        async with Node(DATABASE_URL=url) as node, client.websocket(node) as socket:
            campaign = await client.campaign(node)
            poll = await client.poll(node, campaign, type="UNIQUE", durationSeconds=1800)
            for number in range(5):
                assert (await client.vote(node, poll, option=0, voter=f"early-{number}")).status == 200
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.keep_copy)
            await asyncio.to_thread(server.start)
            await socket.subscribe(campaign["id"])

            async def counted(voter):
                return (await client.vote(node, poll, option=1, voter=voter)).status == 200

            await until(lambda: counted("late-0"), what="votes to be accepted again")
            for number in range(1, 7):
                assert (await client.vote(node, poll, option=1, voter=f"late-{number}")).status == 200
            before = client.position((await client.vote(node, poll, option=1, voter="late-0")).data)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.put_copy_back)
            await asyncio.to_thread(server.start)
            # The node says what is gone, and its followers get the state that is left, unasked.
            state = await socket.take(lambda m: m["op"] == "subscribed" and "id" not in m, 120, "an unasked state")
            assert state["recovered"] is False and state["epoch"] > before[0], (state, before)
            assert state["poll"]["totalVotes"] == 5, state["poll"]
            lost = [line for line in node.log_tail(200).splitlines() if "journal.rows_lost" in line]
            assert len(lost) == 1 and '"votes":7' in lost[0], node.log_tail(200)
            # It goes on: those who were forgotten may vote again, once.
            assert (await client.vote(node, poll, option=2, voter="late-0")).data["status"] == "counted"
            assert (await client.vote(node, poll, option=2, voter="early-0")).data["status"] == "moved"
            update = await socket.event("poll:update", where=lambda data: data["votes"] == [4, 0, 2])
            assert client.position(update) > client.position(state)
            async with client.websocket(node) as late:
                back = await late.subscribe(campaign["id"], after={"epoch": before[0], "seq": before[1]})
                assert back["recovered"] is False and back["poll"]["votes"] == [4, 0, 2], back
            verdict = await client.verify(node, campaign["id"])
            assert verdict["ok"], verdict


@test
@within(300)
async def a_node_that_slept_while_another_took_over_leaves_and_does_no_harm():
    async with database.Server() as server:
        url = await asyncio.to_thread(database.create, BINARY, server.url)
        async with Node(DATABASE_URL=url, TUMULTE_NODE_NAME="first") as first:
            poll = await client.poll(first, await client.campaign(first), type="UNIQUE", durationSeconds=1800)
            for number in range(20):
                assert (await client.vote(first, poll, option=number % 3, voter=f"v{number}")).status == 200
            first.signal(signal.SIGSTOP)
            async with Node(DATABASE_URL=url, TUMULTE_NODE_NAME="second") as second:
                found = await client.read_poll(second, poll)
                assert found["totalVotes"] == 20, found
                # What the sleeper is asked to do when it wakes comes to nothing.
                late = asyncio.create_task(client.vote(first, poll, option=0, voter="late"))
                first.signal(signal.SIGCONT)
                assert await first.ended() == 75, first.log_tail()
                try:
                    assert (await late).status in (503, 504)
                except (OSError, EOFError, asyncio.IncompleteReadError):
                    pass
                assert (await client.vote(second, poll, option=1, voter="new")).data["status"] == "counted"
                assert (await client.read_poll(second, poll))["totalVotes"] == 21
                epochs = database.sql(url, "SELECT count(DISTINCT epoch) FROM journal")
                assert epochs == ["2"], epochs


@test
@within(300)
async def a_container_is_healthy_once_its_node_was_ready_and_while_the_server_is_away():
    async def health(node):
        status, out, err = await nodes.command("health", "--url", node.base)
        assert status in (0, 1), (status, out + err)
        return status == 0

    async with database.Server() as server:
        url = await asyncio.to_thread(database.create, BINARY, server.url)
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        async with Proxy(port) as proxy:
            node = Node(DATABASE_URL=url.replace(f":{port}/", f":{proxy.port}/"))
            assert not await health(node), "nobody is there"
            proxy.swallow()
            node.spawn()
            try:

                async def answers():
                    try:
                        return await http1.request(node, "GET", "/health/ready")
                    except (OSError, EOFError, asyncio.IncompleteReadError):
                        return None

                reply = await until(answers, what="an answer")
                assert (reply.status, reply.data["status"]) == (503, "starting"), reply.body
                assert not await health(node), "it never was ready"
                proxy.heal()
                await until(node._ready, what="the node to be ready")
                assert await health(node)
                proxy.swallow()
                assert await health(node)
                proxy.cut()
                assert await health(node)
            finally:
                node.kill()


@test
@within(300)
async def a_second_node_is_refused_while_the_first_one_serves():
    async with database.Server() as server:
        url = await asyncio.to_thread(database.create, BINARY, server.url)
        async with Node(DATABASE_URL=url, TUMULTE_NODE_NAME="first") as first:
            second = Node(DATABASE_URL=url, TUMULTE_NODE_NAME="second")
            second.spawn()
            assert await second.ended() == 1
            assert "in use by node first" in second.log_tail(), second.log_tail()
            first.signal(signal.SIGTERM)
            assert await first.ended() == 0
            # A node that left in good order is followed at once.
            await second.start()
            second.kill()


@test
@within(300)
async def a_schema_that_is_not_this_programs_is_refused_with_what_to_do():
    async with database.Server() as server:
        url = await asyncio.to_thread(database.create, BINARY, server.url, migrate=False)
        node = Node(DATABASE_URL=url)
        node.spawn()
        assert await node.ended() == 1
        assert "tumulte migrate" in node.log_tail(), node.log_tail()
        newer = await asyncio.to_thread(database.create, BINARY, server.url)
        database.sql(newer, "UPDATE schema_version SET version = 99")
        node = Node(DATABASE_URL=newer)
        node.spawn()
        assert await node.ended() == 1
        assert "schema 99" in node.log_tail(), node.log_tail()


if __name__ == "__main__":
    arguments = suite.parser("outage").parse_args()
    suite.run(arguments.only, parallel=2)
