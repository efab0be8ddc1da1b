"""Running a node: commands, configuration errors, health, metrics, verification, draining."""

import asyncio
import contextlib
import os
import re
import signal
import time

import client
import http1
import node as nodes
from node import Node, command, until
from scenario_wire import Frames
from suite import skip, test


@test
async def commands_explain_themselves():
    status, out, _ = await command("version")
    assert status == 0 and re.search(r"\d", out), out
    for name in ("node", "migrate", "check", "token", "verify", "version"):
        status, out, _ = await command(name, "--help")
        assert status == 0 and name in out, (name, status, out)
    status, out, _ = await command("--help")
    assert status == 0 and "node" in out
    for wrong in (["dance"], ["node", "--dance"], ["token", "--dance"]):
        status, _, err = await command(*wrong)
        assert status == 2 and err.strip(), (wrong, status, err)


@test
async def a_wrong_configuration_stops_the_start_with_one_line():
    for variables, named in [
        ({"TUMULTE_HTTP": "nonsense"}, "TUMULTE_HTTP"),
        ({"TUMULTE_HTTP": "127.0.0.1:99999"}, "TUMULTE_HTTP"),
        ({"TUMULTE_HTTP": "0.0.0.0:0"}, "TUMULTE_TOKEN_SECRET|TUMULTE_OPEN|TUMULTE_HTTP"),
        ({"TUMULTE_LOOPS": "0"}, "TUMULTE_LOOPS"),
        ({"TUMULTE_LOOPS": "many"}, "TUMULTE_LOOPS"),
        ({"TUMULTE_LOG": "loud"}, "TUMULTE_LOG"),
        ({"TUMULTE_LOG_FORMAT": "xml"}, "TUMULTE_LOG_FORMAT"),
        ({"TUMULTE_TOKEN_SECRET": "x", "TUMULTE_TOKEN_SECRET_FILE": "/nowhere"}, "TUMULTE_TOKEN_SECRET"),
        ({"TUMULTE_TOKEN_SECRET_FILE": "/nowhere"}, "TUMULTE_TOKEN_SECRET_FILE"),
        ({"TUMULTE_ORIGINS": "studio"}, "TUMULTE_ORIGINS"),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "DATABASE_URL|REDIS_URL"),
    ]:
        good = {"TUMULTE_HTTP": f"127.0.0.1:{nodes.free_port()}", "TUMULTE_DATA": "/nowhere/data"}
        status, _, err = await command("node", **(good | variables))
        lines = [line for line in err.splitlines() if line.strip()]
        assert status == 78, (variables, status, err)
        assert len(lines) == 1 and re.search(named, lines[0]), (variables, err)


@test
async def check_and_migrate_succeed_on_a_good_configuration():
    async with Node() as scratch:
        variables = {"TUMULTE_DATA": scratch.folder / "other", "TUMULTE_HTTP": f"127.0.0.1:{nodes.free_port()}"}
        for name in ("migrate", "migrate", "check"):
            status, out, err = await command(name, **variables)
            assert status == 0, (name, status, out, err)


@test
async def a_second_node_on_the_same_folder_or_port_is_refused():
    if os.environ.get("TUMULTE_TEST_STORE") == "postgres":
        skip("a node on PostgreSQL has no folder; see outage.py for a second node on one database")
    async with Node() as first:
        for variables in (
            {"TUMULTE_DATA": first.data, "TUMULTE_HTTP": f"127.0.0.1:{nodes.free_port()}"},
            {"TUMULTE_DATA": first.folder / "other", "TUMULTE_HTTP": f"127.0.0.1:{first.port}"},
        ):
            status, _, err = await command("node", **variables)
            assert status not in (0, 2) and err.strip(), (variables, status, err)
        assert (await http1.request(first, "GET", "/health/ready")).status == 200
        await client.campaign(first)


@test
async def health_tells_how_it_stands():
    async with Node() as node:
        for path in ("/health", "/health/live", "/health/ready", "/health/details"):
            reply = await http1.request(node, "GET", path)
            assert reply.status == 200 and reply.headers["content-type"].startswith("application/json"), path
            assert isinstance(reply.json, dict)


def samples(text):
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


async def metrics(node):
    reply = await http1.request(node, "GET", "/metrics")
    assert reply.status == 200 and reply.headers["content-type"].startswith("text/plain"), reply.headers
    return samples(reply.body.decode())


@test
async def counters_move():
    async with Node() as node:
        before = await metrics(node)
        assert before and all(name.startswith(("tumulte_", "process_")) for name in before), list(before)[:5]
        poll = await client.poll(node, await client.campaign(node), type="UNIQUE")
        async with client.websocket(node) as socket:
            await socket.subscribe(poll["campaignId"])
            for voter in range(7):
                await socket.vote(poll, 0, voter=f"v{voter}")
            await socket.vote(poll, 1, voter="v0")
            await socket.vote(poll, 1, voter="v0")
            await socket.event("poll:update", where=lambda data: data["totalVotes"] == 7)
            during = await metrics(node)

            def moved(pattern):
                return sum(value - before.get(name, 0) for name, value in during.items() if re.search(pattern, name))

            assert moved(r'votes.*"counted"') == 7, {n: v for n, v in during.items() if "vote" in n}
            assert moved(r'votes.*"moved"') == 1 and moved(r'votes.*"same"') == 1
            # The readiness checks' connections may still have counted before: these are the present values.
            assert during["tumulte_connections"] >= 2 and during["tumulte_websockets"] == 1
            assert moved(r"polls") >= 1 and moved(r"deliveries_total") >= 1
            assert moved(r"flush.*_count") >= 1 and moved(r"http.*(requests|_total)") >= 2
            assert any(re.search("resident|memory", name) and value > 1e6 for name, value in during.items())
        assert not any(poll["campaignId"] in name or "v0" in name for name in during), "no label comes from a client"


@test
async def a_campaign_verifies_against_its_journal():
    async with Node() as node:
        campaign = await client.campaign(node)
        first = await client.poll(node, campaign, type="UNIQUE")
        await client.vote(node, first, {"votes": [{"option": i % 3, "voter": f"v{i}"} for i in range(500)]})
        await client.cancel(node, first)
        second = await client.poll(node, campaign, type="STANDARD")
        await client.vote(node, second, {"votes": [{"option": i % 3, "key": f"k{i}"} for i in range(500)]})
        hashes = set()
        for _ in range(2):
            verdict = await client.verify(node, campaign["id"])
            assert {"ok", "lsn", "votes", "liveHash", "replayHash"} <= set(verdict), verdict
            assert verdict["ok"] is True and verdict["liveHash"] == verdict["replayHash"], verdict
            hashes.add(verdict["liveHash"])
            before = [await client.read_poll(node, poll) for poll in (first, second)]
            await node.restart()
            after = [await client.read_poll(node, poll) for poll in (first, second)]
            for old, new in zip(before, after):
                for poll in (old, new):
                    poll.pop("epoch"), poll.pop("seq")
                assert old == new, (old, new)
        unknown = "/admin/campaigns/01890a5d-ac96-774b-bcce-b302099a8057/verify"
        assert (await http1.request(node, "POST", unknown, {})).status == 404


@test
async def keys_and_choices_survive_a_crash():
    async with Node() as node:
        unique = await client.poll(node, await client.campaign(node), type="UNIQUE")
        standard = await client.poll(node, await client.campaign(node), type="STANDARD")
        assert (await client.vote(node, unique, option=1, voter="ann")).data["status"] == "counted"
        assert (await client.vote(node, standard, option=1, key="k")).data["status"] == "counted"
        await node.restart()
        assert (await client.vote(node, unique, option=1, voter="ann")).data["status"] == "same"
        assert (await client.vote(node, unique, option=2, voter="ann")).data["status"] == "moved"
        assert (await client.vote(node, standard, option=2, key="k")).data["status"] == "duplicate"
        assert (await client.read_poll(node, unique))["votes"] == [0, 0, 1]
        assert (await client.read_poll(node, standard))["votes"] == [0, 1, 0]


@test
async def a_terminated_node_drains_and_ends_with_status_0():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="UNIQUE")
        async with client.websocket(node) as one, client.websocket(node) as two:
            for socket in (one, two):
                await socket.subscribe(poll["campaignId"])
            replies = [
                one.post(op="vote", campaign=poll["campaignId"], poll=poll["id"], option=0, voter=f"v{i}")
                for i in range(100)
            ]
            await one.ask(op="ping")  # the votes have arrived: what follows may not lose them
            node.signal(signal.SIGTERM)
            for socket in (one, two):
                assert await socket.close_code() == 1001, socket.closed
                assert re.fullmatch(r"drain; retry=\d+", socket.closed[1]), socket.closed
            acks = [reply.result() for reply in replies if reply.done() and not reply.exception()]
            assert len(acks) == 100, f"only {len(acks)} of 100 votes were answered before the close"
        assert await node.ended() == 0
        await node.start()
        assert (await client.read_poll(node, poll))["votes"] == [100, 0, 0]


@test
async def a_draining_node_is_not_ready_and_a_second_signal_ends_it():
    async with Node() as node, contextlib.AsyncExitStack() as open_sockets:
        # Clients that never answer the close make the drain last: they are told in ten slices, a second each.
        for _ in range(20):
            await open_sockets.enter_async_context(Frames(node))
        began = time.monotonic()
        node.signal(signal.SIGTERM)

        async def not_ready_or_gone():
            try:
                return (await http1.request(node, "GET", "/health/ready")).status == 503
            except (OSError, EOFError):
                return True

        await until(not_ready_or_gone, what="the node to say that it is not ready")
        if node.process.poll() is None:
            node.signal(signal.SIGTERM)
        status = await node.ended()
        # Where the machine was so slow that the drain was over first, the second signal had nothing to end.
        assert status == 1 or time.monotonic() - began > 8, status


@test
async def logs_are_one_json_object_a_line_and_hold_no_secrets():
    import json

    secret = "a-very-secret-secret-of-these-tests-1234"
    async with Node(TUMULTE_TOKEN_SECRET=secret) as node:
        bearer = client.token(secret, "host-1", "host")
        await client.campaign(node, "A name that is nobody's business", token=bearer)
        await http1.request(node, "GET", f"/v1/ws?token={bearer}")
        node.signal(signal.SIGTERM)
        assert await node.ended() == 0
        text = node.log.read_text()
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        assert lines and all({"ts", "level", "event"} <= set(line) for line in lines), lines[:3]
        assert secret not in text and bearer not in text and "nobody's business" not in text


@test
async def many_polls_and_campaigns_recover():
    async with Node() as node:
        campaigns = await asyncio.gather(*(client.campaign(node, f"Campaign {i}") for i in range(50)))
        polls = await asyncio.gather(*(client.poll(node, campaign, type="STANDARD") for campaign in campaigns))
        for count, poll in enumerate(polls, 1):
            await client.vote(node, poll, {"votes": [{"option": 1}] * count})
        await node.restart()
        for count, poll in enumerate(polls, 1):
            again = await client.read_poll(node, poll)
            assert again["votes"] == [0, count, 0] and again["status"] == "RUNNING", again


@test
async def a_campaign_that_nobody_uses_leaves_memory_and_comes_back():
    async with Node(TUMULTE_IDLE_SECONDS=1) as node:
        campaign = await client.campaign(node)
        poll = await client.poll(node, campaign, type="UNIQUE")
        assert (await client.vote(node, poll, option=2, voter="ann")).status == 200
        final = (await client.cancel(node, poll)).data
        async with client.websocket(node) as socket:
            at = client.position(await socket.subscribe(campaign["id"]))

        async def gone():
            return (await metrics(node))["tumulte_campaigns"] == 0

        await until(gone, 60, "the campaign to leave memory")
        before = (await metrics(node))["tumulte_campaigns_activated_total"]
        async with client.websocket(node) as socket:
            epoch, seq = at
            back = await socket.subscribe(campaign["id"], after={"epoch": epoch, "seq": seq})
            assert back["recovered"] is True and client.position(back) == at, back
            assert (await client.read_poll(node, poll))["votes"] == final["votes"] == [0, 0, 1]
            # Positions go on above all that were given before.
            again = await client.poll(node, campaign)
            start = await socket.event("poll:start")
            assert start["data"]["id"] == again["id"] and client.position(start) > at
        assert (await metrics(node))["tumulte_campaigns_activated_total"] > before
