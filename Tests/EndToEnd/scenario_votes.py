"""Votes: statuses, keys, channels, percentages, winners, late ones, and the end of a poll by its clock."""

import asyncio
import time
from datetime import datetime

import client
import http1
from node import Node
from scenario_campaigns import NOBODY, POLL, refused
from suite import test


@test
async def a_unique_voter_counts_once_and_may_move():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="UNIQUE")
        async with client.websocket(node) as socket:
            steps = [("ann", 0, "counted"), ("ann", 0, "same"), ("ann", 2, "moved"), ("bob", 2, "counted"), ("ann", 2, "same")]
            last = (0, 0)
            for voter, option, status in steps:
                ack = await socket.vote(poll, option, voter=voter)
                assert ack["op"] == "ack" and ack["status"] == status, (voter, option, ack)
                assert client.position(ack) >= last, (ack, last)
                last = client.position(ack)
            reply = await client.vote(node, poll, option=1, voter="bob")
            assert reply.status == 200 and set(reply.data) == {"status", "epoch", "seq"}, reply.body
            assert reply.data["status"] == "moved"
        final = await client.read_poll(node, poll)
        assert final["votes"] == [0, 1, 1] and final["totalVotes"] == 2
        assert client.position(final) >= client.position(reply.data)


@test
async def a_thousand_parallel_votes_of_one_viewer_count_once():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="UNIQUE")
        async with client.websocket(node) as one, client.websocket(node) as two:
            replies = await asyncio.gather(
                *(socket.post(op="vote", campaign=poll["campaignId"], poll=poll["id"], option=1, voter="one")
                  for _ in range(500) for socket in (one, two))
            )  # fmt: skip
        statuses = [reply["status"] for reply in replies]
        assert sorted(set(statuses)) == ["counted", "same"] and statuses.count("counted") == 1
        assert (await client.read_poll(node, poll))["votes"] == [0, 1, 0]


@test
async def a_standard_poll_counts_every_vote_but_each_key_once():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="STANDARD")
        async with client.websocket(node) as socket:
            for fields, status in [
                ({}, "counted"),
                ({}, "counted"),
                ({"voter": "ann"}, "counted"),
                ({"voter": "ann"}, "counted"),
                ({"voter": "ann", "key": "k"}, "counted"),
                ({"voter": "ann", "key": "k"}, "duplicate"),
                ({"voter": "bob", "key": "k"}, "counted"),
                ({"key": "k"}, "counted"),
                ({"key": "k"}, "duplicate"),
            ]:
                ack = await socket.vote(poll, 0, **fields)
                assert ack["op"] == "ack" and ack["status"] == status, (fields, ack)
            # The first effect of a key stands, whatever comes under it later.
            assert (await socket.vote(poll, 2, voter="ann", key="k"))["status"] == "duplicate"
        assert (await client.read_poll(node, poll))["votes"] == [7, 0, 0]


@test
async def keys_work_in_a_unique_poll_too():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="UNIQUE")
        async with client.websocket(node) as socket:
            assert (await socket.vote(poll, 0, voter="ann", key="a"))["status"] == "counted"
            assert (await socket.vote(poll, 1, voter="ann", key="b"))["status"] == "moved"
            assert (await socket.vote(poll, 0, voter="ann", key="a"))["status"] == "duplicate"
        assert (await client.read_poll(node, poll))["votes"] == [0, 1, 0]


@test
async def impossible_votes_are_refused_with_their_code():
    async with Node() as node:
        campaign = await client.campaign(node)
        poll = await client.poll(node, campaign, type="UNIQUE")
        other = await client.poll(node, await client.campaign(node, "Another"), type="UNIQUE")
        async with client.websocket(node) as socket:
            for fields, code in [
                ({"option": 3}, "invalid_option"),
                ({"option": -1}, "invalid_option"),
                ({"option": 4000000000}, "invalid_option"),
                ({"option": 0, "poll": NOBODY}, "not_found"),
                ({"option": 0, "poll": other["id"]}, "not_found"),
                ({"option": 0, "campaign": NOBODY}, "not_found"),
                ({"option": 0, "voter": None}, "bad_request"),
                ({"option": 0, "voter": "x" * 129}, "bad_request"),
                ({"option": 0, "voter": ""}, "bad_request"),
                ({"option": 0, "channel": "x" * 65}, "bad_request"),
                ({"option": 0, "channel": ""}, "bad_request"),
                ({"option": 0, "key": "x" * 65}, "bad_request"),
                ({"option": "0"}, "bad_request"),
                ({"option": 0.5}, "bad_request"),
                ({"option": None}, "bad_request"),
                ({"option": 0, "poll": "x"}, "bad_request"),
            ]:
                message = {"op": "vote", "campaign": campaign["id"], "poll": poll["id"], "voter": "ann"} | fields
                message = {name: value for name, value in message.items() if value is not None}
                reply = await socket.ask(**message)
                assert reply["op"] == "error" and reply["code"] == code and reply["message"], (fields, reply)
        refused(await client.vote(node, poll, option=3, voter="ann"), 400, "invalid_option")
        refused(await client.vote(node, poll, option=0), 400, "bad_request")
        refused(await client.vote(node, poll, {"votes": [{"option": 0, "voter": "v"}] * 1001}), 400, "bad_request")
        refused(await client.vote(node, poll, {"votes": []}), 400, "bad_request")
        assert (await client.read_poll(node, poll))["totalVotes"] == 0


@test
async def a_batch_answers_each_vote_in_order():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="UNIQUE")
        votes = [{"option": i % 3, "voter": f"v{i}"} for i in range(998)]
        votes[10] = {"option": 9, "voter": "wrong"}
        votes += [{"option": 1, "voter": "v0"}, {"option": 1}]
        reply = await client.vote(node, poll, {"votes": votes})
        assert reply.status == 200, reply.body
        results = reply.data["results"]
        assert len(results) == 1000
        assert results[10]["error"]["code"] == "invalid_option", results[10]
        assert results[998]["status"] == "moved", results[998]
        assert results[999]["error"]["code"] == "bad_request", results[999]
        assert all(results[i]["status"] == "counted" for i in range(998) if i != 10)
        assert (await client.read_poll(node, poll))["totalVotes"] == 997


@test
async def votes_are_tallied_by_channel_too():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="STANDARD")
        for option, channel, times in ((0, "north", 2), (1, "north", 1), (2, "süd", 3), (0, None, 1)):
            for _ in range(times):
                reply = await client.vote(node, poll, option=option, **({"channel": channel} if channel else {}))
                assert reply.status == 200, reply.body
        final = await client.read_poll(node, poll)
        assert final["votes"] == [3, 1, 3] and final["totalVotes"] == 7
        assert final["channels"] == [
            {"channel": "north", "totalVotes": 3, "votes": [2, 1, 0]},
            {"channel": "süd", "totalVotes": 3, "votes": [0, 0, 3]},
        ], final["channels"]
        more = [{"option": 0, "channel": f"c{i}"} for i in range(255)]
        results = (await client.vote(node, poll, {"votes": more})).data["results"]
        assert [("error" in result) for result in results] == [False] * 254 + [True], "256 channels are the limit"
        assert (await client.read_poll(node, poll))["totalVotes"] == 7 + 254


@test
async def percentages_have_one_decimal_and_ties_share_the_win():
    async with Node() as node:
        campaign = await client.campaign(node)

        async def outcome(votes):
            poll = await client.poll(node, campaign, type="STANDARD")
            batch = [{"option": option} for option, count in enumerate(votes) for _ in range(count)]
            if batch:
                assert (await client.vote(node, poll, {"votes": batch})).status == 200
            running = await client.read_poll(node, poll)
            assert running["winners"] == [], "no winners while it runs"
            over = (await client.cancel(node, poll)).data
            assert over["percentages"] == running["percentages"]
            return over["percentages"], over["winners"]

        assert await outcome([0, 0, 0]) == ([0, 0, 0], [])
        assert await outcome([1, 1, 1]) == ([33.3, 33.3, 33.3], [0, 1, 2])
        assert await outcome([2, 1, 0]) == ([66.7, 33.3, 0], [0])
        assert await outcome([3, 3, 1]) == ([42.9, 42.9, 14.3], [0, 1])
        assert await outcome([0, 0, 5]) == ([0, 0, 100], [2])
        assert await outcome([1, 7, 0]) == ([12.5, 87.5, 0], [1])


@test
async def a_vote_after_the_end_is_late():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="UNIQUE")
        assert (await client.vote(node, poll, option=0, voter="early")).status == 200
        assert (await client.cancel(node, poll)).status == 200
        refused(await client.vote(node, poll, option=1, voter="late"), 400, "poll_closed")
        async with client.websocket(node) as socket:
            reply = await socket.vote(poll, 1, voter="early")
            assert reply["op"] == "error" and reply["code"] == "poll_closed", reply
        assert (await client.read_poll(node, poll))["votes"] == [1, 0, 0]


@test
async def a_poll_counts_down_and_ends_by_itself():
    async with Node() as node:
        campaign = await client.campaign(node)
        async with client.websocket(node) as socket:
            await socket.subscribe(campaign["id"])
            started = time.monotonic()
            poll = await client.poll(node, campaign, type="UNIQUE", durationSeconds=15)
            assert (await client.vote(node, poll, option=1, voter="ann")).status == 200
            end = await socket.event("poll:end")
            took = time.monotonic() - started
            assert took > 14.5, took
            assert set(end["data"]) == POLL and end["data"]["status"] == "ENDED", end
            assert end["data"]["winners"] == [1] and end["data"]["percentages"] == [0, 100, 0]
            assert end["data"]["endedAt"] == end["data"]["endsAt"], end
            length = datetime.fromisoformat(poll["endsAt"]) - datetime.fromisoformat(poll["startedAt"])
            assert length.total_seconds() == 15
            marks = [m["data"]["secondsLeft"] for m in socket.inbox if m.get("event") == "poll:countdown"]
            assert all(m["data"]["id"] == poll["id"] for m in socket.inbox if m.get("event") == "poll:countdown")
            # A node that was late skips marks: of several that are due only the newest is told.
            assert marks and marks == sorted(set(marks), reverse=True) and set(marks) <= {10, 7, 5, 4, 3, 2, 1, 0}, marks
            positions = [client.position(m) for m in socket.inbox if m["op"] == "event"] + [client.position(end)]
            assert positions == sorted(set(positions)), positions
            refused(await client.vote(node, poll, option=1, voter="late"), 400, "poll_closed")
            refused(await client.cancel(node, poll), 400, "poll_closed")


@test
async def a_poll_that_should_have_ended_while_the_node_was_dead_has_its_true_end():
    async with Node() as node:
        campaign = await client.campaign(node)
        poll = await client.poll(node, campaign, type="UNIQUE", durationSeconds=15)
        assert (await client.vote(node, poll, option=2, voter="ann")).status == 200
        async with client.websocket(node) as socket:
            await socket.subscribe(campaign["id"])
            # The countdown is the clock: near the end the node is killed, and stays dead past it.
            await socket.event("poll:countdown", 60, lambda data: data["secondsLeft"] <= 5)
        node.kill()
        over = datetime.fromisoformat(poll["endsAt"]).timestamp()
        from node import until

        await until(lambda: time.time() > over + 0.5, 60, "the end to pass")
        await node.start()
        # The end is committed like any effect, a moment after the node serves again.
        async with client.websocket(node) as socket:
            subscribed = await socket.subscribe(campaign["id"])
            if subscribed["poll"]["status"] == "RUNNING":
                await socket.event("poll:end")
        final = await client.read_poll(node, poll)
        assert final["status"] == "ENDED" and final["endedAt"] == poll["endsAt"], final
        assert final["votes"] == [0, 0, 1] and final["winners"] == [2]
        assert (await http1.request(node, "GET", f"/v1/campaigns/{campaign['id']}")).data["runningPoll"] is None
