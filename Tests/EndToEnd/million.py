"""A poll with 1,000,000 distinct voters: exact, small in memory, and back after a kill."""

import asyncio
import json
import time

import client
import http1
import suite
from node import Node
from suite import test

VOTERS = 1_000_000
BATCH = 1000
CONNECTIONS = 8


async def cast(node, path, numbers):
    async with http1.Connection(node) as connection:
        while numbers:
            first = numbers.pop()
            votes = [{"option": n % 3, "voter": f"viewer-{n:09}"} for n in range(first, first + BATCH)]
            await connection.send(http1.encode("POST", path, node, body=json.dumps({"votes": votes}).encode()))
            reply = await connection.response()
            assert reply.status == 200, reply.body[:300]
            assert all(each["status"] == "counted" for each in reply.data["results"]), reply.body[:300]


@test
@suite.within(1200)
async def a_million_distinct_voters_are_counted_and_kept():
    async with Node() as node:
        campaign = await client.campaign(node)
        poll = await client.poll(node, campaign, options=["a", "b", "c"], type="UNIQUE", durationSeconds=1800)
        path = f"/v1/campaigns/{campaign['id']}/polls/{poll['id']}/votes"
        before = node.memory_kib()
        numbers = list(range(0, VOTERS, BATCH))
        began = time.monotonic()
        await asyncio.gather(*(cast(node, path, numbers) for _ in range(CONNECTIONS)))
        seconds = time.monotonic() - began
        grown = (node.memory_kib() - before) * 1024
        tally = await client.read_poll(node, poll)
        expected = [len(range(option, VOTERS, 3)) for option in range(3)]
        assert tally["votes"] == expected, tally["votes"]
        again = await client.vote(node, poll, option=0, voter="viewer-000000000")
        assert again.data["status"] == "same", again.body
        began = time.monotonic()
        await node.restart()
        recovered = time.monotonic() - began
        assert (await client.read_poll(node, poll))["votes"] == expected
        verdict = await client.verify(node, campaign["id"])
        assert verdict["ok"] and verdict["votes"] == VOTERS, verdict
        print(
            f"figure: {VOTERS:,} distinct voters in one poll, in {seconds:.0f} s by HTTP batches of {BATCH}: the process"
            f" grew by {grown / VOTERS:.0f} bytes per voter; serving again {recovered:.1f} s after SIGKILL, tally exact"
        )


if __name__ == "__main__":
    suite.run(suite.parser("million").parse_args().only)
