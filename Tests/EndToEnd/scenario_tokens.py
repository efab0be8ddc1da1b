"""Tokens, roles, origins and open mode."""

import asyncio
import time

import client
import http1
from client import token
from node import Node, command
from scenario_campaigns import refused
from suite import test

SECRET = "a secret of the tests that is long enough for anybody"


def guarded(**more):
    return Node(TUMULTE_TOKEN_SECRET=SECRET, **more)


@test
async def only_valid_tokens_are_let_in():
    async with guarded() as node:
        path = "/v1/campaigns"
        body = {"name": "Guarded"}
        for bad in (
            None,
            "",
            "x",
            "a.b.c",
            token("another secret that is just as long as the first"),
            token(SECRET, role="host", expires_in=-61),
            token(SECRET, role="host", exp=None),
            token(SECRET, role="host", algorithm="none"),
            token(SECRET, role="host", algorithm="HS512"),
            token(SECRET, role="king"),
            token(SECRET, role="host", sub=None),
            token(SECRET, role="host", sub=""),
            token(SECRET, role="host", sub="x" * 129),
            token(SECRET, role="host") + "x",
        ):
            reply = await http1.request(node, "POST", path, body, token=bad)
            refused(reply, 401, "unauthorized")
        made = await http1.request(node, "POST", path, body, token=token(SECRET, "host-1", "host"))
        assert made.status == 201 and made.data["ownerId"] == "host-1", made.body
        leeway = token(SECRET, "host-1", "host", expires_in=-20)
        assert (await http1.request(node, "POST", path, body, token=leeway)).status == 201, "60 s of leeway"
        assert (await http1.request(node, "POST", path, body, token=token(SECRET, "s", "service"))).status == 201


@test
async def roles_allow_what_the_contract_says():
    async with guarded() as node:
        host, rival = token(SECRET, "host-1", "host"), token(SECRET, "host-2", "host")
        voter, service = token(SECRET, "ann", "voter"), token(SECRET, "backend", "service")
        campaign = await client.campaign(node, token=host)
        path = f"/v1/campaigns/{campaign['id']}"
        launch = {"question": "Who?", "options": ["a", "b"], "type": "UNIQUE"}
        refused(await http1.request(node, "POST", "/v1/campaigns", {"name": "No way"}, token=voter), 403, "forbidden")
        for stranger in (voter, rival):
            refused(await http1.request(node, "PATCH", path, {"name": "Mine now"}, token=stranger), 403, "forbidden")
            refused(await http1.request(node, "DELETE", path, token=stranger), 403, "forbidden")
            refused(await http1.request(node, "POST", f"{path}/polls", launch, token=stranger), 403, "forbidden")
            signal = {"name": "n", "data": 1}
            refused(await http1.request(node, "POST", f"{path}/signals", signal, token=stranger), 403, "forbidden")
        poll = (await http1.request(node, "POST", f"{path}/polls", launch, token=host)).data
        for reader in (voter, rival, service, host):
            assert (await http1.request(node, "GET", path, token=reader)).status == 200
            assert (await client.read_poll(node, poll, token=reader))["id"] == poll["id"]
        refused(await http1.request(node, "GET", path), 401, "unauthorized")
        for stranger in (voter, rival):
            refused(await client.cancel(node, poll, token=stranger), 403, "forbidden")
        assert (await client.vote(node, poll, option=0, token=voter)).data["status"] == "counted"
        assert (await client.vote(node, poll, option=0, voter="ann", token=voter)).data["status"] == "same"
        refused(await client.vote(node, poll, option=0, voter="bob", token=voter), 403, "forbidden")
        assert (await client.vote(node, poll, option=0, voter="bob", token=service)).data["status"] == "counted"
        refused(await client.vote(node, poll, option=0, token=service), 400, "bad_request")
        assert (await client.read_poll(node, poll, token=host))["totalVotes"] == 2
        async with client.websocket(node, token=voter) as socket:
            reply = await socket.ask(op="hello")
            assert (reply["voter"], reply["role"]) == ("ann", "voter"), reply
            assert (await socket.vote(poll, 1))["status"] == "moved"
            for message in ({"op": "signal", "campaign": campaign["id"], "name": "n", "data": 1},
                            {"op": "vote", "campaign": campaign["id"], "poll": poll["id"], "option": 0, "voter": "bob"}):  # fmt: skip
                reply = await socket.ask(**message)
                assert reply["op"] == "error" and reply["code"] == "forbidden", reply
        assert (await client.cancel(node, poll, token=service)).status == 200
        assert (await http1.request(node, "DELETE", path, token=host)).status == 204


@test
async def the_channel_of_a_token_binds_its_voter():
    async with guarded() as node:
        service = token(SECRET, "backend", "service")
        poll = await client.poll(node, await client.campaign(node, token=service), type="UNIQUE", token=service)
        north = token(SECRET, "ann", channel="north")
        refused(await client.vote(node, poll, option=0, channel="south", token=north), 403, "forbidden")
        assert (await client.vote(node, poll, option=0, channel="north", token=north)).data["status"] == "counted"
        assert (await client.vote(node, poll, option=0, voter="bob", channel="south", token=service)).status == 200
        channels = (await client.read_poll(node, poll, token=service))["channels"]
        assert {each["channel"]: each["votes"] for each in channels} == {"north": [1, 0, 0], "south": [1, 0, 0]}


@test
async def a_token_comes_as_header_as_query_or_in_hello():
    async with guarded() as node:
        campaign = await client.campaign(node, token=token(SECRET, "host-1", "host"))
        ann = token(SECRET, "ann")
        async with client.websocket(node, query=f"?token={ann}") as socket:
            assert (await socket.ask(op="hello"))["voter"] == "ann"
        async with client.websocket(node) as socket:
            reply = await socket.subscribe(campaign["id"])
            assert reply["op"] == "error" and reply["code"] == "unauthorized", reply
            assert (await socket.ask(op="hello", token=ann))["voter"] == "ann"
            assert (await socket.subscribe(campaign["id"]))["op"] == "subscribed"
        async with client.event_stream(node, campaign["id"], query=f"?token={ann}") as stream:
            assert (await stream.next())[0] == "snapshot"
        async with client.websocket(node) as socket:
            await socket.send_raw('{"op":"hello","id":1,"token":"bad"}')
            assert await socket.close_code() == 4401


@test
async def a_connection_without_a_token_is_closed_after_ten_seconds():
    async with guarded() as node:
        started = time.monotonic()
        async with client.websocket(node) as socket:
            assert await socket.close_code() == 4401
        assert time.monotonic() - started > 8


@test
async def a_token_that_expires_closes_what_it_opened():
    async with guarded() as node:
        campaign = await client.campaign(node, token=token(SECRET, "host-1", "host"))
        dying = token(SECRET, "ann", expires_in=-45)  # with the leeway it lives for 15 s
        async with client.websocket(node, token=dying) as socket, client.event_stream(node, campaign["id"], token=dying) as stream:
            assert (await socket.ask(op="ping"))["op"] == "pong"
            assert (await stream.next())[0] == "snapshot"
            assert await socket.close_code() == 4401
            name, data, _ = await stream.until("error")
            assert data["code"] == "unauthorized", data


@test
async def voters_are_limited_in_rate_and_services_are_not():
    async with guarded() as node:
        async def flood(bearer, count):
            async with client.websocket(node, token=bearer) as socket:
                began = time.monotonic()
                replies = [socket.post(op="ping") for _ in range(count)]
                await asyncio.wait(replies)
                took = time.monotonic() - began
                failed = [reply for reply in replies if reply.exception()]
                limited = [r.result() for r in replies if not r.exception() and r.result().get("code") == "rate_limited"]
                assert all(reply["retryAfterMs"] > 0 for reply in limited)
                return len(limited) + len(failed), took, socket.closed

        limited, took, closed = await flood(token(SECRET, "ann"), 400)
        # A burst of 100 passes, then 20 a second.
        assert 400 - limited <= 105 + 20 * took, (limited, took)
        assert closed is None or closed[0] == 4429, closed
        assert (await flood(token(SECRET, "backend", "service"), 2000))[0] == 0


@test
async def open_mode_answers_only_this_machine():
    async with Node() as node:
        for headers in (
            {"X-Forwarded-For": "10.0.0.1"},
            {"Forwarded": "for=10.0.0.1"},
            {"X-Real-IP": "10.0.0.1"},
            {"Host": "tumulte.example"},
            {"Host": f"127.0.0.1.tumulte.example:{node.port}"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            refused(await http1.request(node, "GET", "/v1/campaigns/x", headers=headers), 403, "forbidden")
            refused(await http1.request(node, "GET", "/metrics", headers=headers), 403, "forbidden")
        own = {"Origin": f"http://127.0.0.1:{node.port}"}
        assert (await http1.request(node, "POST", "/v1/campaigns", {"name": "Own"}, headers=own)).status == 201
        local = {"Host": f"localhost:{node.port}", "Origin": f"http://localhost:{node.port}"}
        assert (await http1.request(node, "POST", "/v1/campaigns", {"name": "Own"}, headers=local)).status == 201
        for origin, status in (("https://evil.example", 403), (f"http://127.0.0.1:{node.port}", 101)):
            assert await upgrade(node, origin) == status, origin


async def upgrade(node, origin):
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Origin": origin,
    }
    async with http1.Connection(node) as connection:
        await connection.send(http1.encode("GET", "/v1/ws", node, headers))
        return (await connection.head())[0]


@test
async def origins_must_be_listed():
    async with guarded(TUMULTE_ORIGINS="https://studio.example,https://overlay.example") as node:
        host = token(SECRET, "host-1", "host")
        for origin, status in (("https://studio.example", 201), ("https://overlay.example", 201), ("https://evil.example", 403)):
            reply = await http1.request(node, "POST", "/v1/campaigns", {"name": "Cross"}, {"Origin": origin}, token=host)
            assert reply.status == status, (origin, reply.status)
            if status == 201:
                assert reply.headers["access-control-allow-origin"] == origin, reply.headers
                assert "origin" in reply.headers.get("vary", "").lower(), reply.headers
            else:
                assert "access-control-allow-origin" not in reply.headers
            assert await upgrade(node, origin) == (101 if status == 201 else 403)
        preflight = {
            "Origin": "https://studio.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        }
        reply = await http1.request(node, "OPTIONS", "/v1/campaigns", headers=preflight)
        assert reply.status in (200, 204) and reply.headers["access-control-allow-origin"] == "https://studio.example"
        assert "POST" in reply.headers["access-control-allow-methods"]
        allowed = reply.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in ("authorization", "content-type", "idempotency-key")), allowed
    async with guarded() as node:
        reply = await http1.request(node, "GET", "/health", headers={"Origin": "https://studio.example"})
        assert "access-control-allow-origin" not in reply.headers, "off unless configured"


@test
async def the_admin_token_guards_the_admin_routes():
    async with Node(TUMULTE_ADMIN_TOKEN="admin-token-of-the-tests-0123456789") as node:
        for path in ("/metrics", "/health/details"):
            assert (await http1.request(node, "GET", path)).status == 401
            assert (await http1.request(node, "GET", path, token="wrong")).status in (401, 403)
            assert (await http1.request(node, "GET", path, token="admin-token-of-the-tests-0123456789")).status == 200
        assert (await http1.request(node, "GET", "/health")).status == 200


@test
async def a_secret_may_come_from_a_file():
    async with Node() as scratch:
        secret = scratch.folder / "secret"
        secret.write_text(SECRET + "\n")
        async with Node(TUMULTE_TOKEN_SECRET_FILE=secret) as node:
            await client.campaign(node, token=token(SECRET, "host-1", "host"))
            refused(await http1.request(node, "POST", "/v1/campaigns", {"name": "Open"}), 401, "unauthorized")


@test
async def the_token_command_makes_tokens():
    status, out, _ = await command("token", "--help")
    assert status == 0 and "token" in out, out


@test
async def a_token_works_on_every_start_of_the_node():
    async with guarded() as node:
        ann = token(SECRET, "ann")
        async with client.websocket(node, token=ann) as socket:
            assert (await socket.ask(op="ping"))["op"] == "pong"
        await node.restart()
        async with client.websocket(node, token=ann) as socket:
            assert (await socket.ask(op="hello"))["voter"] == "ann", "a token is valid on every start of the node"
