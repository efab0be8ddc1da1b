"""A crowd follows a poll: thousands of WebSocket subscribers, each checked, while every tenth of them votes.

Measured and printed besides: the process' memory per idle connection, and whether it stays flat when thousands
connect and disconnect.
"""

import asyncio
import json

import client
import http1
import suite
import tools
from crowd_process import Crowd
from node import Node, until
from suite import test

arguments = suite.parser("crowd")
arguments.add_argument("--subscribers", type=int, default=2000)
arguments.add_argument("--churn", type=int, default=2000)
ARGUMENTS = arguments.parse_args()


async def settled(read, seconds=3.0):
    """A measure once it has stopped falling: buffers of idle connections are given back after a moment."""
    least = read()

    def fell():
        nonlocal least
        least = min(least, read())
        return False

    try:
        await until(fell, seconds, "time to pass")
    except AssertionError:
        pass
    return least


@test
@suite.within(900)
async def every_subscriber_gets_start_updates_and_end():
    async with Node() as node:
        campaign = await client.campaign(node)
        # A few connections first, so that what is made once is not counted as theirs.
        await churn(node, campaign, 50)
        before = await settled(node.memory_kib, 1)
        async with Crowd(node, campaign, ARGUMENTS.subscribers) as crowd:
            await crowd.answer("ready")
            idle = await settled(node.memory_kib)
            each = (idle - before) * 1024 / ARGUMENTS.subscribers
            poll = await client.poll(node, campaign, type="UNIQUE")
            voters = ARGUMENTS.subscribers // 10
            await crowd.ask(f"vote {poll['id']} {voters}", "voted")
            await crowd.ask("cancelling", "cancelling")
            over = await client.cancel(node, poll)
            assert over.data["totalVotes"] == voters, over.data
            report = json.loads(await crowd.ask("end", "end"))
        faults = {name: report[name] for name in
                  ("wrongStarts", "wrongEnds", "withoutUpdate", "disorder", "wrongTotals", "gone")}  # fmt: skip
        assert not any(faults.values()), f"of {ARGUMENTS.subscribers} subscribers: {faults}"
        print(
            f"figure: {ARGUMENTS.subscribers} subscribers, {voters} of them voting: start, {report['updates']} updates"
            f" and the end delivered, none lost; the end reached the last one {report['endMs']:.0f} ms after the cancel"
        )
        print(f"figure: {each:.0f} bytes of the process per idle subscribed connection ({idle - before} KiB in all)")
        assert each <= 4096, f"{each:.0f} bytes per idle connection"


async def churn(node, campaign, times):
    process = await asyncio.create_subprocess_exec(
        tools.build("crowd"), str(node.port), campaign["id"], "churn", str(times), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 300)
    assert process.returncode == 0 and out == f"churned {times}\n".encode(), out


@test
@suite.within(900)
async def memory_is_flat_after_thousands_of_connects_and_disconnects():
    async with Node() as node:
        campaign = await client.campaign(node)
        await churn(node, campaign, ARGUMENTS.churn // 2)
        before = await settled(node.memory_kib)
        await churn(node, campaign, ARGUMENTS.churn)
        after = await settled(node.memory_kib)
        print(f"figure: {ARGUMENTS.churn} connects and disconnects: {before} KiB before, {after} KiB after")
        assert after - before < 2048, f"grew by {after - before} KiB"
        assert (await http1.request(node, "GET", "/health/ready")).status == 200


if __name__ == "__main__":
    tools.build("crowd")
    suite.run(ARGUMENTS.only, parallel=1)
