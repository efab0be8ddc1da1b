"""Campaigns and polls over HTTP: their life, their limits, their envelopes, and idempotency."""

import asyncio
import re

import client
import http1
from node import Node
from suite import test

UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
CAMPAIGN = {"id", "ownerId", "name", "description", "createdAt", "runningPoll"}
POLL = {
    "id", "campaignId", "question", "options", "type", "durationSeconds", "status", "startedAt", "endsAt", "endedAt",
    "totalVotes", "votes", "percentages", "winners", "channels", "epoch", "seq",
}  # fmt: skip
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


def refused(reply, status, code):
    """The failure envelope, with this status and code."""
    assert reply.status == status, (reply.status, reply.body)
    error = reply.json["error"]
    assert error["code"] == code, error
    assert error["message"] and isinstance(error["message"], str), error
    assert error["requestId"] == reply.headers["x-request-id"], (error, reply.headers)
    return error


@test
async def a_campaign_is_created_read_changed_and_deleted():
    async with Node() as node:
        made = await http1.request(node, "POST", "/v1/campaigns", {"name": "Curse of Strahd", "description": "Mists."})
        assert made.status == 201 and set(made.json) == {"data"}, made.body
        assert made.headers["content-type"].startswith("application/json")
        campaign = made.data
        assert set(campaign) == CAMPAIGN, campaign
        assert UUID7.match(campaign["id"]) and TIME.match(campaign["createdAt"]), campaign
        assert campaign["ownerId"] is None and campaign["runningPoll"] is None
        assert (campaign["name"], campaign["description"]) == ("Curse of Strahd", "Mists.")
        path = f"/v1/campaigns/{campaign['id']}"
        assert (await http1.request(node, "GET", path)).data == campaign
        changed = await http1.request(node, "PATCH", path, {"name": "Barovia"})
        assert changed.status == 200 and changed.data == campaign | {"name": "Barovia"}, changed.body
        cleared = await http1.request(node, "PATCH", path, {"description": None})
        assert cleared.data == campaign | {"name": "Barovia", "description": None}, cleared.body
        gone = await http1.request(node, "DELETE", path)
        assert gone.status == 204 and gone.body == b"", (gone.status, gone.body)
        refused(await http1.request(node, "GET", path), 404, "not_found")
        refused(await http1.request(node, "DELETE", path), 404, "not_found")
        refused(await http1.request(node, "PATCH", path, {"name": "Again"}), 404, "not_found")


@test
async def campaign_fields_have_limits():
    async with Node() as node:
        for field, body in [
            ("name", {}),
            ("name", {"name": "ab"}),
            ("name", {"name": "x" * 101}),
            ("name", {"name": 7}),
            ("name", {"name": None}),
            ("description", {"name": "fine", "description": "x" * 501}),
            ("description", {"name": "fine", "description": []}),
        ]:
            error = refused(await http1.request(node, "POST", "/v1/campaigns", body), 400, "bad_request")
            assert [detail["field"] for detail in error["details"]] == [field], (body, error)
        for body in [{"name": "abc"}, {"name": "é" * 100, "description": "🎲" * 500}]:
            assert (await http1.request(node, "POST", "/v1/campaigns", body)).status == 201, body
        for raw in [b"", b"{", b"[]", b'"text"', b"null", b'{"name":"abc"} x', b'{"name":"\xff\xfe\xfd"}']:
            refused(await http1.request(node, "POST", "/v1/campaigns", body=raw), 400, "bad_request")


@test
async def unknown_and_malformed_ids_are_told_apart():
    async with Node() as node:
        campaign = await client.campaign(node)
        for path in (f"/v1/campaigns/{NOBODY}", f"/v1/campaigns/{NOBODY}/polls", f"/v1/campaigns/{NOBODY}/events",
                     f"/v1/campaigns/{campaign['id']}/polls/{NOBODY}"):  # fmt: skip
            refused(await http1.request(node, "GET", path), 404, "not_found")
        for bad in (campaign["id"].upper(), campaign["id"][:-1], "1", campaign["id"].replace("-", "")):
            refused(await http1.request(node, "GET", f"/v1/campaigns/{bad}"), 400, "bad_request")
            refused(await http1.request(node, "GET", f"/v1/campaigns/{campaign['id']}/polls/{bad}"), 400, "bad_request")


@test
async def a_poll_is_launched_cancelled_and_kept():
    async with Node() as node:
        campaign = await client.campaign(node)
        path = f"/v1/campaigns/{campaign['id']}"
        body = {"question": "Open the door?", "options": ["yes", "no"], "type": "UNIQUE"}
        launched = await http1.request(node, "POST", f"{path}/polls", body)
        assert launched.status == 201, launched.body
        poll = launched.data
        assert set(poll) == POLL, set(poll) ^ POLL
        assert UUID7.match(poll["id"]) and poll["campaignId"] == campaign["id"]
        assert poll["durationSeconds"] == 60 and poll["status"] == "RUNNING" and poll["type"] == "UNIQUE"
        assert TIME.match(poll["startedAt"]) and TIME.match(poll["endsAt"]) and poll["endedAt"] is None
        assert (poll["totalVotes"], poll["votes"], poll["percentages"]) == (0, [0, 0], [0, 0])
        assert poll["winners"] == [] and poll["channels"] == []
        assert (await http1.request(node, "GET", path)).data["runningPoll"] == poll["id"]
        error = refused(await http1.request(node, "POST", f"{path}/polls", body), 409, "poll_running")
        assert poll["id"] in [detail["message"] for detail in error["details"]], error
        over = await client.cancel(node, poll)
        assert over.status == 200 and over.data["status"] == "CANCELLED" and TIME.match(over.data["endedAt"]), over.body
        assert over.data["winners"] == [] and over.data["percentages"] == [0, 0]
        refused(await client.cancel(node, poll), 400, "poll_closed")
        assert (await http1.request(node, "GET", path)).data["runningPoll"] is None
        polls = [poll] + [await relaunch(node, campaign) for _ in range(3)]
        history = (await http1.request(node, "GET", f"{path}/polls")).data
        assert [each["id"] for each in history] == [each["id"] for each in reversed(polls)], history
        assert all(set(each) == POLL for each in history)
        short = (await http1.request(node, "GET", f"{path}/polls?limit=2")).data
        assert short == history[:2]
        for limit in ("0", "-1", "x", "99999999999999999999"):
            refused(await http1.request(node, "GET", f"{path}/polls?limit={limit}"), 400, "bad_request")


async def relaunch(node, campaign):
    poll = await client.poll(node, campaign)
    assert (await client.cancel(node, poll)).status == 200
    return poll


@test
async def poll_fields_have_limits():
    async with Node() as node:
        campaign = await client.campaign(node)
        path = f"/v1/campaigns/{campaign['id']}/polls"
        good = {"question": "Why?", "options": ["a", "b"]}
        for field, change in [
            ("question", {"question": ""}),
            ("question", {"question": "x" * 46}),
            ("options", {"options": ["a"]}),
            ("options", {"options": list("abcdef")}),
            ("options", {"options": ["a", "x" * 26]}),
            ("options", {"options": ["a", ""]}),
            ("options", {"options": "ab"}),
            ("durationSeconds", {"durationSeconds": 14}),
            ("durationSeconds", {"durationSeconds": 1801}),
            ("durationSeconds", {"durationSeconds": 20.5}),
            ("durationSeconds", {"durationSeconds": "60"}),
            ("type", {"type": "OTHER"}),
        ]:
            error = refused(await http1.request(node, "POST", path, good | change), 400, "bad_request")
            assert error["details"][0]["field"].startswith(field), (change, error)
        limit = {"question": "é" * 45, "options": ["🎲" * 25, "b", "c", "d", "e"], "durationSeconds": 1800}
        assert (await http1.request(node, "POST", path, limit)).status == 201


@test
async def of_fifty_parallel_launches_one_succeeds():
    async with Node() as node:
        campaign = await client.campaign(node)
        body = {"question": "Who?", "options": ["a", "b"]}
        path = f"/v1/campaigns/{campaign['id']}/polls"
        replies = await asyncio.gather(*(http1.request(node, "POST", path, body) for _ in range(50)))
        statuses = sorted(reply.status for reply in replies)
        assert statuses == [201] + [409] * 49, statuses
        winner = next(reply.data["id"] for reply in replies if reply.status == 201)
        assert all(
            winner in [detail["message"] for detail in reply.json["error"]["details"]]
            for reply in replies
            if reply.status == 409
        )
        assert len((await http1.request(node, "GET", path)).data) == 1


@test
async def deleting_a_campaign_cancels_its_poll_first():
    async with Node() as node:
        campaign = await client.campaign(node)
        poll = await client.poll(node, campaign)
        async with client.websocket(node) as socket:
            await socket.subscribe(campaign["id"])
            assert (await http1.request(node, "DELETE", f"/v1/campaigns/{campaign['id']}")).status == 204
            first = await socket.op("event")
            second = await socket.op("event")
            assert first["event"] == "poll:end" and first["data"]["status"] == "CANCELLED", first
            assert second["event"] == "campaign:deleted", second
            reply = await socket.vote(poll, 0, voter="late")
            assert reply["op"] == "error" and reply["code"] == "not_found", reply


@test
async def the_same_idempotency_key_has_one_effect():
    async with Node() as node:
        async def create(key, **body):
            return await http1.request(
                node, "POST", "/v1/campaigns", {"name": "Keyed"} | body, headers={"Idempotency-Key": key}
            )

        first = await create("k1")
        again = await create("k1")
        assert (again.status, again.body) == (first.status, first.body)
        refused(await create("k1", name="Another"), 409, "conflict")
        assert (await create("k2")).data["id"] != first.data["id"]
        at_once = await asyncio.gather(*(create("k3") for _ in range(20)))
        assert {reply.status for reply in at_once} == {201}, [reply.status for reply in at_once]
        assert len({reply.data["id"] for reply in at_once}) == 1
        for bad in ("", "x" * 65, "with space"):
            refused(await create(bad), 400, "bad_request")
        assert (await create("x" * 64)).status == 201

        # Launch and cancel, also through a crash; a key counts per route.
        path = f"/v1/campaigns/{first.data['id']}/polls"
        body, key = {"question": "Keyed?", "options": ["a", "b"]}, {"Idempotency-Key": "k1"}
        launched = await http1.request(node, "POST", path, body, key)
        assert launched.status == 201
        cancel = f"{path}/{launched.data['id']}/cancel"
        cancelled = await http1.request(node, "POST", cancel, {}, key)
        assert cancelled.status == 200
        await node.restart()
        for method, route, payload, before in [
            ("POST", "/v1/campaigns", {"name": "Keyed"}, first),
            ("POST", path, body, launched),
            ("POST", cancel, {}, cancelled),
        ]:
            replay = await http1.request(node, method, route, payload, key)
            assert (replay.status, replay.json) == (before.status, before.json), (route, replay.body)
        assert len((await http1.request(node, "GET", path)).data) == 1


@test
async def a_vote_under_an_idempotency_key_counts_once():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="STANDARD")
        replies = [await client.vote(node, poll, option=1, headers={"Idempotency-Key": "once"}) for _ in range(3)]
        assert [reply.status for reply in replies] == [200] * 3, [reply.body for reply in replies]
        assert replies[0].data["status"] == "counted"
        assert {reply.data["status"] for reply in replies[1:]} <= {"counted", "duplicate"}
        assert (await client.read_poll(node, poll))["votes"] == [0, 1, 0]


@test
async def requests_and_nodes_are_named():
    async with Node() as node:
        for path, status in (("/health", 200), (f"/v1/campaigns/{NOBODY}", 404), ("/nowhere", 404)):
            reply = await http1.request(node, "GET", path, headers={"X-Request-ID": "abc-123"})
            assert reply.status == status and reply.headers["x-request-id"] == "abc-123", reply.headers
            assert reply.headers["x-tumulte-node"] == "test-node", reply.headers
            made = [(await http1.request(node, "GET", path)).headers["x-request-id"] for _ in range(2)]
            assert made[0] and made[0] != made[1], made
        long = await http1.request(node, "GET", "/health", headers={"X-Request-ID": "x" * 5000})
        assert len(long.headers["x-request-id"]) < 5000
