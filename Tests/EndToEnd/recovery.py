"""A node that died with many campaigns: how soon it takes votes again, and how soon every campaign is there."""

import asyncio
import json
import time

import client
import http1
import suite
from node import Node, until
from suite import test

CONNECTIONS = 8
VOTES = 20


async def each(node, items, body):
    """Calls `body(connection, item)` for every item, over a few connections; the results in order."""
    items, results = list(items), {}
    left = iter(range(len(items)))

    async def worker():
        async with http1.Connection(node) as connection:
            for number in left:
                results[number] = await body(connection, items[number])

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return [results[number] for number in range(len(items))]


async def post(node, connection, path, status, **fields):
    await connection.send(http1.encode("POST", path, node, body=json.dumps(fields).encode()))
    reply = await connection.response()
    assert reply.status == status, reply.body[:300]
    return reply.data


def logged(node, event):
    """The newest line of this event, once it is there."""
    lines = [line for line in node.log.read_text().splitlines() if f'"{event}"' in line]
    return json.loads(lines[-1]) if lines else None


@test
@suite.within(1200)
async def every_campaign_is_back_and_those_with_polls_are_first():
    async with Node() as node:

        async def create(connection, number):
            return await post(node, connection, "/v1/campaigns", 201, name=f"Campaign {number}")

        async def launch(connection, campaign):
            return await post(
                node, connection, f"/v1/campaigns/{campaign['id']}/polls", 201, question="Which way?",
                options=["left", "right"], durationSeconds=1800, type="UNIQUE",
            )  # fmt: skip

        async def cast(connection, poll):
            votes = [{"option": n % 2, "voter": f"viewer-{n}"} for n in range(VOTES)]
            path = f"/v1/campaigns/{poll['campaignId']}/polls/{poll['id']}/votes"
            reply = await post(node, connection, path, 200, votes=votes)
            assert all(one["status"] == "counted" for one in reply["results"]), reply

        campaigns = await each(node, range(ARGUMENTS.campaigns), create)
        polls = await each(node, campaigns[:: ARGUMENTS.campaigns // ARGUMENTS.polls], launch)
        await each(node, polls, cast)
        node.kill()
        node.log.unlink()
        began = time.monotonic()
        node.spawn()
        first = polls[0]

        async def accepted():
            try:
                return (await client.vote(node, first, option=0, voter="viewer-0")).status == 200
            except (OSError, EOFError, asyncio.IncompleteReadError):
                return False

        await until(accepted, 120, "the first vote to be accepted")
        to_first = time.monotonic() - began

        async def read_poll(connection, poll):
            path = f"/v1/campaigns/{poll['campaignId']}/polls/{poll['id']}"
            await connection.send(http1.encode("GET", path, node))
            found = (await connection.response()).data
            assert found["status"] == "RUNNING" and found["totalVotes"] == VOTES, found

        async def read_campaign(connection, campaign):
            await connection.send(http1.encode("GET", f"/v1/campaigns/{campaign['id']}", node))
            found = await connection.response()
            assert found.status == 200 and found.data["name"] == campaign["name"], found.body

        await each(node, polls, read_poll)
        await until(lambda: logged(node, "slots.all_open"), 300, "every slot to be open")
        to_all = time.monotonic() - began
        await each(node, campaigns, read_campaign)
        urgent, every = (logged(node, event) for event in ("slots.urgent_open", "slots.all_open"))
        print(
            f"figure: {len(campaigns):,} campaigns, {len(polls)} of them with running polls, after SIGKILL: first vote"
            f" accepted {to_first:.1f} s after the start of the process, last campaign ready after {to_all:.1f} s; of"
            f" that, from the claim of the slots on, {urgent['after_ms'] / 1000:.1f} s to the last running poll and"
            f" {every['after_ms'] / 1000:.1f} s to the last campaign"
        )


if __name__ == "__main__":
    arguments = suite.parser("recovery")
    arguments.add_argument("--campaigns", type=int, default=1000)
    arguments.add_argument("--polls", type=int, default=50)
    ARGUMENTS = arguments.parse_args()
    suite.run(ARGUMENTS.only)
