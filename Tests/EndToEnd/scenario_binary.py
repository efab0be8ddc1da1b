"""The binary subprotocol: the document's vectors, and the same meaning as JSON over a live connection."""

import json
import pathlib
import re

import binary
import client
from client import position
from node import Node
from scenario_campaigns import NOBODY
from suite import test

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "PROTOCOL.md"


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@test
async def the_vectors_of_the_document_hold():
    blocks = re.findall(r"```vector (client|server)\n(\{[^\n]*\})\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert len(blocks) >= 20, f"{len(blocks)} vectors"
    for side, text, listing in blocks:
        message = json.loads(text)
        data = bytes.fromhex("".join(line.split("#")[0] for line in listing.splitlines()))
        if side == "client":
            assert binary.encode(message, compact) == data, text
        else:
            assert binary.decode(data, json.loads) == message, text


def connected(node, **options):
    return client.websocket(node, subprotocols=["tumulte.v1.binary"], **options)


@test
async def a_poll_is_followed_in_binary_as_in_json():
    async with Node() as node, connected(node) as socket, client.websocket(node) as other:
        campaign = await client.campaign(node)
        hello = await socket.ask(op="hello", voter="ann")
        assert hello["node"] == "test-node" and hello["voter"] == "ann" and hello["role"] == "service", hello
        first, second = await socket.subscribe(campaign["id"]), await other.subscribe(campaign["id"])
        first.pop("id"), second.pop("id")
        assert first == second, (first, second)
        poll = await client.poll(node, campaign, type="UNIQUE")
        for fields, status in (({}, "counted"), ({}, "same"), ({"voter": "bob", "channel": "süd", "key": "k"}, "counted"),
                               ({"voter": "bob", "channel": "süd", "key": "k"}, "duplicate")):  # fmt: skip
            ack = await socket.vote(poll, 1, **fields)
            assert ack["op"] == "ack" and ack["status"] == status, ack
        assert (await socket.vote(poll, 2))["status"] == "moved"
        signal = await socket.ask(op="signal", campaign=campaign["id"], name="dice", data={"d20": [17, "é"]})
        assert signal["op"] == "ack" and "status" not in signal, signal
        await client.cancel(node, poll)
        for name in ("poll:start", "signal", "poll:end"):
            ours, theirs = await socket.event(name), await other.event(name)
            assert ours == theirs, (ours, theirs)
        assert ours["data"]["votes"] == [0, 1, 1] and ours["data"]["winners"] == [1, 2]
        updates = [message for message in socket.inbox if message.get("event") == "poll:update"]
        assert updates and all(position(message) < position(ours) for message in updates)


@test
async def binary_faults_have_the_codes_of_json():
    async with Node() as node, connected(node) as socket:
        poll = await client.poll(node, await client.campaign(node), type="UNIQUE")
        for option, fields, code in ((9, {"voter": "v"}, "invalid_option"), (-1, {"voter": "v"}, "invalid_option"),
                                     (0, {}, "bad_request"), (0, {"voter": "x" * 129}, "bad_request")):  # fmt: skip
            reply = await socket.vote(poll, option, **fields)
            assert reply["op"] == "error" and reply["code"] == code, reply
        reply = await socket.subscribe(NOBODY)
        assert reply["code"] == "not_found" and reply["campaign"] == NOBODY, reply
        vote = binary.encode({"op": "vote", "id": 1, "campaign": poll["campaignId"], "poll": poll["id"], "option": 0}, compact)
        for bad in (b"", b"\x06", vote[:-1], vote + b"\0", b"\x06\x03\x02\x02", b"\x06\x01\x80\x00", b"\x06\x80"):
            async with connected(node) as broken:
                await broken.send_raw(bad)
                assert await broken.close_code() == 4400, (bad, broken.closed)
        async with connected(node) as wrong:
            await wrong.send_raw('{"op":"ping","id":1}')
            assert await wrong.close_code() in (4400, 1003), wrong.closed


@test
async def a_binary_client_resumes():
    async with Node() as node:
        campaign = await client.campaign(node)
        async with connected(node) as socket:
            here = await socket.subscribe(campaign["id"])
        poll = await client.poll(node, campaign, type="STANDARD")
        await client.cancel(node, poll)
        async with connected(node) as socket:
            after = {"epoch": here["epoch"], "seq": here["seq"]}
            await socket.ask(op="hello", subscriptions=[{"campaign": campaign["id"], "after": after}])
            reply = await socket.op("subscribed")
            assert reply["recovered"] is True and position(reply) == position(here), reply
            assert (await socket.event("poll:start"))["data"]["id"] == poll["id"]
            assert (await socket.event("poll:end"))["data"]["status"] == "CANCELLED"
