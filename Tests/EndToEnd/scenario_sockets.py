"""The WebSocket with JSON messages: replies, subscriptions, events, resume, signals, limits and close codes."""

import asyncio
import json

import client
import http1
from client import position
from node import Node, until
from scenario_campaigns import NOBODY, POLL, TIME
from suite import test

UPDATE = {"id", "totalVotes", "votes", "percentages", "channels"}
EVENT = {"op", "campaign", "epoch", "seq", "at", "event", "data"}


@test
async def hello_tells_who_and_where():
    async with Node() as node, client.websocket(node) as socket:
        reply = await socket.ask(op="hello", voter="ann")
        assert set(reply) == {"op", "id", "node", "voter", "role", "time", "pingMs", "maxMessageBytes", "jitterMs"}, reply
        assert reply["node"] == "test-node" and reply["voter"] == "ann" and reply["role"] == "service"
        assert TIME.match(reply["time"]) and reply["maxMessageBytes"] == 64 * 1024
        assert reply["pingMs"] > 0 and reply["jitterMs"] >= 0
        poll = await client.poll(node, await client.campaign(node), type="UNIQUE")
        assert (await socket.vote(poll, 1))["status"] == "counted", "the voter of hello votes"
        assert (await socket.vote(poll, 1, voter="ann"))["status"] == "same"


@test
async def ids_are_echoed_as_they_came():
    async with Node() as node, client.websocket(node) as socket:
        for mark in (0, 1, -7, 2**53, "text", "", "é\"\\\n"):
            await socket.send_raw(json.dumps({"op": "ping", "id": mark}))
            reply = await socket.op("pong")
            assert reply == {"op": "pong", "id": mark}, (mark, reply)
        await socket.send_raw('{"op":"ping"}')
        assert "id" not in await socket.op("pong")


@test
async def a_subscriber_sees_a_poll_from_start_to_end():
    async with Node() as node, client.websocket(node) as socket:
        campaign = await client.campaign(node)
        reply = await socket.subscribe(campaign["id"])
        assert set(reply) == {"op", "id", "campaign", "epoch", "seq", "recovered", "poll"}, reply
        assert reply["campaign"] == campaign["id"] and reply["recovered"] is False and reply["poll"] is None
        poll = await client.poll(node, campaign, type="UNIQUE")
        start = await socket.event("poll:start")
        assert set(start) == EVENT and TIME.match(start["at"]) and start["campaign"] == campaign["id"], start
        assert set(start["data"]) == POLL and start["data"]["id"] == poll["id"]
        ack = await socket.vote(poll, 2, voter="ann", channel="north")
        update = await socket.event("poll:update")
        assert set(update["data"]) == UPDATE, update
        assert update["data"]["votes"] == [0, 0, 1] and update["data"]["percentages"] == [0, 0, 100]
        assert update["data"]["channels"] == [{"channel": "north", "totalVotes": 1, "votes": [0, 0, 1]}]
        assert position(update) >= position(ack), "the update shows the vote, so its position is not below the ack's"
        await client.cancel(node, poll)
        end = await socket.event("poll:end")
        assert set(end["data"]) == POLL and end["data"]["status"] == "CANCELLED" and end["data"]["winners"] == [2]
        places = [position(message) for message in (reply, start, update, end)]
        assert places == sorted(set(places)), places
        changed = await http1.request(node, "PATCH", f"/v1/campaigns/{campaign['id']}", {"name": "Renamed"})
        event = await socket.event("campaign:updated")
        assert event["data"] == changed.data, event


@test
async def positions_only_rise_and_a_tally_at_an_ack_contains_its_vote():
    async with Node() as node, client.websocket(node) as watcher, client.websocket(node) as voter:
        campaign = await client.campaign(node)
        await watcher.subscribe(campaign["id"])
        poll = await client.poll(node, campaign, type="STANDARD")
        acks = []
        for _ in range(20):
            replies = [voter.post(op="vote", campaign=campaign["id"], poll=poll["id"], option=0) for _ in range(50)]
            acks += [position(reply) for reply in await asyncio.gather(*replies)]
        assert acks == sorted(acks), "acks of one connection rise"
        await watcher.event("poll:update", where=lambda data: data["totalVotes"] == 1000)
        await client.cancel(node, poll)
        await watcher.event("poll:end")
        places = [position(m) for m in watcher.inbox if m["op"] == "event"]
        assert places == sorted(set(places)), places
        for message in watcher.inbox:
            if message.get("event") == "poll:update":
                shown = sum(1 for ack in acks if ack <= position(message))
                assert message["data"]["totalVotes"] >= shown, (message, shown)


@test
async def updates_are_conflated_to_ten_a_second():
    async with Node() as node, client.websocket(node) as watcher, client.websocket(node) as voter:
        campaign = await client.campaign(node)
        await watcher.subscribe(campaign["id"])
        poll = await client.poll(node, campaign, type="STANDARD")
        clock = asyncio.get_running_loop().time
        began, sent = clock(), 0
        while clock() - began < 2 or sent < 100:
            await voter.vote(poll, 0)
            sent += 1
        await watcher.event("poll:update", where=lambda data: data["totalVotes"] == sent)
        seconds = clock() - began
        updates = 1 + sum(1 for m in watcher.inbox if m.get("event") == "poll:update")
        assert 2 <= updates <= 6 + 10 * seconds, f"{updates} updates for {sent} votes in {seconds:.1f} s"


@test
async def a_client_resumes_where_it_was():
    async with Node() as node:
        campaign = await client.campaign(node)
        async with client.websocket(node) as socket:
            here = await socket.subscribe(campaign["id"])
        after = {"epoch": here["epoch"], "seq": here["seq"]}
        first = await client.poll(node, campaign, type="UNIQUE")
        for voter in range(5):
            await client.vote(node, first, option=voter % 3, voter=f"v{voter}")
        await client.cancel(node, first)
        second = await client.poll(node, campaign)
        async with client.websocket(node) as socket:
            reply = await socket.subscribe(campaign["id"], after)
            assert reply["recovered"] is True and position(reply) == position(here), reply
            assert "poll" not in reply, reply
            start = await socket.op("event")
            assert start["event"] == "poll:start" and start["data"]["id"] == first["id"], start
            end = await socket.event("poll:end")
            assert end["data"]["votes"] == [2, 2, 1], end
            again = await socket.event("poll:start")
            assert again["data"]["id"] == second["id"] and position(start) < position(end) < position(again)
        async with client.websocket(node) as socket:
            # hello subscribes too: the replies come in one round trip, `subscribed` without an id.
            asked = [{"campaign": campaign["id"], "after": {"epoch": again["epoch"], "seq": again["seq"]}}]
            asked.append({"campaign": NOBODY})
            assert (await socket.ask(op="hello", subscriptions=asked))["op"] == "hello"
            reply = await socket.op("subscribed")
            assert "id" not in reply and reply["recovered"] is True and position(reply) == position(again), reply
            error = await socket.op("error")
            assert error["code"] == "not_found" and error["campaign"] == NOBODY, error
        async with client.websocket(node) as socket:
            for beyond in ({"epoch": after["epoch"], "seq": 10**12}, {"epoch": after["epoch"] + 10**6, "seq": 0}):
                reply = await socket.subscribe(campaign["id"], beyond)
                assert reply["recovered"] is False and reply["poll"]["id"] == second["id"], reply


@test
async def resume_after_a_crash_replaces_or_continues_but_never_goes_back():
    async with Node() as node:
        campaign = await client.campaign(node)
        poll = await client.poll(node, campaign, type="UNIQUE")
        async with client.websocket(node) as socket:
            await socket.subscribe(campaign["id"])
            for voter in range(10):
                ack = await socket.vote(poll, 1, voter=f"v{voter}")
            update = await socket.event("poll:update", where=lambda data: data["totalVotes"] == 10)
        await node.restart()
        async with client.websocket(node) as socket:
            reply = await socket.subscribe(campaign["id"], {"epoch": update["epoch"], "seq": update["seq"]})
            if reply["recovered"]:
                assert position(reply) == position(update)
            else:
                assert position(reply) >= position(ack), (reply, ack)
                assert reply["poll"]["votes"] == [0, 10, 0] and reply["poll"]["status"] == "RUNNING", reply
            later = await socket.vote(poll, 2, voter="new")
            assert later["status"] == "counted" and position(later) > position(ack), (later, ack)
            update = await socket.event("poll:update", where=lambda data: data["totalVotes"] == 11)
            assert update["data"]["votes"] == [0, 10, 1], update


@test
async def a_ring_that_overflowed_gives_a_snapshot():
    async with Node() as node:
        campaign = await client.campaign(node)
        async with client.websocket(node) as socket:
            here = await socket.subscribe(campaign["id"])
            for round in range(40):
                sent = [socket.post(op="signal", campaign=campaign["id"], name="n", data=i) for i in range(500)]
                await asyncio.gather(*sent)
        async with client.websocket(node) as socket:
            reply = await socket.subscribe(campaign["id"], {"epoch": here["epoch"], "seq": here["seq"]})
            if reply["recovered"]:  # a ring larger than 20,000 events: then nothing may be missing
                for i in range(20000):
                    assert (await socket.op("event"))["data"]["data"] == i % 500
            else:
                assert reply["seq"] >= here["seq"] + 20000, reply


@test
async def unsubscribing_ends_the_events():
    async with Node() as node, client.websocket(node) as socket:
        campaign = await client.campaign(node)
        await socket.subscribe(campaign["id"])
        reply = await socket.ask(op="unsubscribe", campaign=campaign["id"])
        assert reply["op"] == "unsubscribed" and reply["campaign"] == campaign["id"], reply
        await client.poll(node, campaign)
        assert (await socket.ask(op="ping"))["op"] == "pong"
        assert not [m for m in socket.inbox if m["op"] == "event"], socket.inbox


@test
async def unknown_campaigns_and_too_many_subscriptions_are_errors():
    async with Node() as node, client.websocket(node) as socket:
        reply = await socket.subscribe(NOBODY)
        assert reply["op"] == "error" and reply["code"] == "not_found" and reply["campaign"] == NOBODY, reply
        campaigns = [await client.campaign(node, f"Campaign {i}") for i in range(101)]
        replies = [await socket.subscribe(campaign["id"]) for campaign in campaigns]
        assert [reply["op"] for reply in replies] == ["subscribed"] * 100 + ["error"], replies[-1]
        # An end of one makes room for another.
        await socket.ask(op="unsubscribe", campaign=campaigns[0]["id"])
        assert (await socket.subscribe(campaigns[100]["id"]))["op"] == "subscribed"


@test
async def signals_reach_every_subscriber_in_order():
    async with Node() as node, client.websocket(node) as socket, client.websocket(node) as other:
        campaign = await client.campaign(node)
        await socket.subscribe(campaign["id"])
        await other.subscribe(campaign["id"])
        payloads = [1, "text", None, [1, {"deep": [True]}], {"dice": "d20", "roll": 17, "é": "🎲"}, 1.5e10]
        acks = [await socket.ask(op="signal", campaign=campaign["id"], name="dice", data=data) for data in payloads]
        reply = await http1.request(
            node, "POST", f"/v1/campaigns/{campaign['id']}/signals", {"name": "http", "data": {"by": "http"}}
        )
        assert reply.status == 202 and set(reply.data) == {"epoch", "seq"}, reply.body
        for receiver in (socket, other):
            for data, ack in zip(payloads, acks):
                event = await receiver.event("signal")
                assert ack["op"] == "ack" and "status" not in ack, ack
                assert event["data"] == {"name": "dice", "data": data} and position(event) == position(ack), event
            assert (await receiver.event("signal"))["data"] == {"name": "http", "data": {"by": "http"}}
        large = "x" * (16 * 1024 - 2)
        assert (await socket.ask(op="signal", campaign=campaign["id"], name="big", data=large))["op"] == "ack"
        assert (await other.event("signal"))["data"]["data"] == large
        for fields in ({"name": "big", "data": large + "x"}, {"name": "", "data": 1}, {"name": "x" * 65, "data": 1}, {"data": 1}):
            reply = await socket.ask(op="signal", campaign=campaign["id"], **fields)
            assert reply["op"] == "error" and reply["code"] in ("bad_request", "too_large"), (list(fields), reply)


@test
async def nonsense_is_answered_and_broken_json_closes():
    async with Node() as node:
        async with client.websocket(node) as socket:
            for message in ({"op": "dance"}, {"op": 7}, {}, {"op": "subscribe"}, {"op": "subscribe", "campaign": "x"},
                            {"op": "vote"}, {"op": "hello", "subscriptions": 3}):  # fmt: skip
                reply = await socket.ask(**message)
                assert reply["op"] == "error" and reply["code"] == "bad_request", (message, reply)
        for data, code in [("{", 4400), ("", 4400), ('{"op":"ping",}', 4400), ("x" * (64 * 1024 + 1), 1009)]:
            async with client.websocket(node) as socket:
                await socket.send_raw(data)
                assert await socket.close_code() == code, (data[:20], socket.closed)
        async with client.websocket(node) as socket:
            # Exactly the limit is allowed.
            text = '{"op":"ping","id":1,"pad":""}'
            await socket.send_raw(text.replace('""', '"' + "x" * (64 * 1024 - len(text)) + '"'))
            assert (await socket.op("pong"))["id"] == 1


@test
async def an_old_connection_that_closes_leaves_the_newer_one_alone():
    async with Node() as node:
        campaign = await client.campaign(node)
        async with client.websocket(node) as newer:
            async with client.websocket(node) as older:
                for socket in (older, newer):
                    await socket.ask(op="hello", voter="same")
                    await socket.subscribe(campaign["id"])
            await client.poll(node, campaign)
            assert (await newer.event("poll:start"))["campaign"] == campaign["id"]


@test
async def large_messages_travel_compressed_where_it_was_agreed():
    async with Node() as node, client.websocket(node, compression="deflate") as socket, client.websocket(node) as plain:
        agreed = socket.websocket.response.headers.get("Sec-WebSocket-Extensions", "")
        assert "permessage-deflate" in agreed, agreed
        assert "Sec-WebSocket-Extensions" not in plain.websocket.response.headers
        campaign = await client.campaign(node)
        for each in (socket, plain):
            await each.subscribe(campaign["id"])
        data = [f"roll {i}" for i in range(1000)]
        for sender in (socket, plain):
            assert (await sender.ask(op="signal", campaign=campaign["id"], name="rolls", data=data))["op"] == "ack"
            for receiver in (socket, plain):
                assert (await receiver.event("signal"))["data"]["data"] == data
        assert (await socket.ask(op="ping"))["op"] == "pong", "small ones pass too"


@test
async def the_subprotocol_is_negotiated():
    async with Node() as node:
        for offered, chosen in [
            (["tumulte.v1.json"], "tumulte.v1.json"),
            (["other", "tumulte.v1.binary"], "tumulte.v1.binary"),
            (None, None),
        ]:
            async with client.websocket(node, subprotocols=offered) as socket:
                assert socket.websocket.subprotocol == chosen, socket.websocket.subprotocol
                if chosen != "tumulte.v1.binary":
                    assert (await socket.ask(op="ping"))["op"] == "pong"


@test
async def closed_connections_leave_no_trace():
    async with Node() as node:
        campaign = await client.campaign(node)

        async def gauges():
            text = (await http1.request(node, "GET", "/metrics")).body.decode()
            lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
            return [
                sum(float(value) for name, value in lines if name.split("{")[0] == wanted)
                for wanted in ("tumulte_websockets", "tumulte_subscriptions")
            ]

        async def reach(values):
            async def reached():
                return await gauges() == values

            await until(reached, what=f"the gauges of open WebSockets and subscriptions to be {values}")

        for _ in range(5):
            async with client.websocket(node) as one, client.websocket(node) as two:
                await one.subscribe(campaign["id"])
                await two.subscribe(campaign["id"])
                await reach([2, 2])
        await reach([0, 0])
