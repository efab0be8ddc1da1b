"""Server-Sent Events: snapshot, events by name, resume by Last-Event-ID."""

import client
import http1
from client import position
from node import Node
from scenario_campaigns import POLL, refused
from suite import test


@test
async def a_stream_begins_with_a_snapshot_and_follows():
    async with Node() as node:
        campaign = await client.campaign(node)
        async with client.event_stream(node, campaign["id"]) as stream:
            name, data, mark = await stream.next()
            assert name == "snapshot" and data["campaign"] == campaign["id"] and data["poll"] is None, (name, data)
            assert data["recovered"] is False and mark == f"{data['epoch']}-{data['seq']}"
            poll = await client.poll(node, campaign, type="UNIQUE")
            name, data, mark = await stream.next()
            assert name == "poll:start", name
            await client.vote(node, poll, option=1, voter="ann")
            await stream.until("poll:update")
            await client.cancel(node, poll)
            await stream.until("poll:end")
        async with client.event_stream(node, campaign["id"]) as stream:
            name, data, _ = await stream.next()
            assert name == "snapshot" and set(data["poll"]) == POLL and data["poll"]["status"] == "CANCELLED", data


@test
async def a_stream_resumes_by_last_event_id():
    async with Node() as node:
        campaign = await client.campaign(node)
        async with client.event_stream(node, campaign["id"]) as stream:
            _, _, mark = await stream.next()
        poll = await client.poll(node, campaign, type="UNIQUE")
        await client.vote(node, poll, option=1, voter="ann")
        await client.cancel(node, poll)
        async with client.event_stream(node, campaign["id"], last=mark) as stream:
            first = await stream.next()
            assert first[0] == "poll:start", first
            end = await stream.until("poll:end")
            assert end[2].split("-")[0] == mark.split("-")[0] and end[2] != mark
        epoch = mark.split("-")[0]
        for unknown in (f"{epoch}-999999999", "nonsense", "0-0", "-", "99999999999999999999-1"):
            async with client.event_stream(node, campaign["id"], last=unknown) as stream:
                assert (await stream.next())[0] == "snapshot", unknown


@test
async def a_stream_survives_a_crash_of_the_node():
    async with Node() as node:
        campaign = await client.campaign(node)
        poll = await client.poll(node, campaign, type="UNIQUE")
        await client.vote(node, poll, option=1, voter="ann")
        async with client.event_stream(node, campaign["id"]) as stream:
            _, before, mark = await stream.next()
        await node.restart()
        async with client.event_stream(node, campaign["id"], last=mark) as stream:
            await client.vote(node, poll, option=1, voter="bob")
            name, data, _ = await stream.next()
            if name == "snapshot":
                assert position(data) >= position(before) and data["poll"]["totalVotes"] >= 1
                if data["poll"]["totalVotes"] == 1:
                    name, data, _ = await stream.until("poll:update")
                    assert data["data"]["votes"] == [0, 2, 0] if "data" in data else data["votes"] == [0, 2, 0], data


@test
async def streams_of_unknown_campaigns_are_refused():
    async with Node() as node:
        path = "/v1/campaigns/01890a5d-ac96-774b-bcce-b302099a8057/events"
        refused(await http1.request(node, "GET", path), 404, "not_found")
        refused(await http1.request(node, "GET", "/v1/campaigns/x/events"), 400, "bad_request")
