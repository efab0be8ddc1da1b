#!/usr/bin/env python3
"""What the hop between nodes costs, beside others that carry messages on this machine, by turns:

  votes  a durable vote over a binary WebSocket, one under way: to the node that owns its campaign, and to another one
  hop    a message of 60 bytes each millisecond, as votes come that wait for their commit, there and back: a bare TCP
         relay (psbench tcp), one link between two processes (LinkBench), PUBLISH to SUBSCRIBE by Redis, PUB to SUB by
         two NATS servers with a route between them; and the same with the next message as soon as one is back
  load   the same with 4,096 messages under way, a second: Redis, NATS, one link with a request for each message and
         with one for each 64, as nodes send the commands of a turn; and votes by either node

Nodes have one loop. Lines that begin with `figure: ` are results. Usage: forward.py LINKBENCH [options]
"""

import argparse
import asyncio
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests" / "EndToEnd"))

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("link", help="the program LinkBench")
arguments.add_argument("--seconds", type=float, default=3, help="of each run")
arguments.add_argument("--rounds", type=int, default=5)
arguments.add_argument("--only", default="votes,hop,load")
ARGUMENTS = arguments.parse_args()

import client  # noqa: E402
import tools  # noqa: E402
from cluster_nodes import Cluster  # noqa: E402
from node import free_port, until  # noqa: E402

BYTES = 60
WINDOW = 4096
RATE = 1000
SLICES = 5


async def out(*command):
    """The JSON that a load prints last."""
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE)
    text, _ = await process.communicate()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with status {process.returncode}")
    return json.loads(text.decode().strip().splitlines()[-1])


class OneLoopCluster(Cluster):
    def node(self, name):
        node = super().node(name)
        node.environment |= {"TUMULTE_LOOPS": "1", "TUMULTE_LOG": "warn"}
        return node


class PlainRedis:
    """A Redis without a password, which psbench does not know; nothing of it is kept."""

    async def __aenter__(self):
        self.port = free_port()
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
        )
        await until(lambda: listens(self.port), 20, "Redis to listen")
        return self

    async def __aexit__(self, *_):
        self.process.kill()
        self.process.wait()

    def arguments(self):
        return ["redis", self.port, self.port]


class Nats:
    """Two servers with a route between them."""

    async def __aenter__(self):
        self.ports = [free_port(), free_port()]
        route = free_port()
        common = ["nats-server", "-a", "127.0.0.1", "--cluster_name", "bench"]
        self.processes = [
            subprocess.Popen(
                [*common, "-p", str(self.ports[0]), "--cluster", f"nats://127.0.0.1:{route}"], stderr=subprocess.DEVNULL
            )
        ]
        await until(lambda: listens(route), 20, "the first NATS server")
        self.processes.append(
            subprocess.Popen(
                [*common, "-p", str(self.ports[1]), "--cluster", f"nats://127.0.0.1:{free_port()}",
                 "--routes", f"nats://127.0.0.1:{route}"], stderr=subprocess.DEVNULL,
            )  # fmt: skip
        )
        await until(lambda: listens(self.ports[1]), 20, "the second NATS server")
        return self

    async def __aexit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def arguments(self):
        return ["nats", *self.ports]


async def listens(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


class LinkOwner:
    """The far end of a link."""

    async def __aenter__(self):
        self.process = subprocess.Popen(
            [ARGUMENTS.link, "owner"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(await asyncio.to_thread(self.process.stdout.readline))
        return self

    async def __aexit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


async def psbench(arguments, window, rate=0):
    result = await out(tools.build("psbench"), *arguments, BYTES, rate, window, ARGUMENTS.seconds)
    assert result["missing"] == 0, result
    return result["p50_us"], result["p99_us"], result["delivered_per_s"]


async def link(port, window, rate=0, run=1):
    result = await out(ARGUMENTS.link, "ask", port, BYTES, window, ARGUMENTS.seconds, rate, run)
    return result["p50_us"], result["p99_us"], result["per_s"]


class Measured:
    """Rounds of runs, each of (p50, p99, a second)."""

    def __init__(self):
        self.runs = {}

    def note(self, name, run):
        self.runs.setdefault(name, []).append(run)

    def median(self, name, place=0):
        return statistics.median(run[place] for run in self.runs[name])

    def ratios(self, name, other, place=0):
        return [a[place] / b[place] for a, b in zip(self.runs[name], self.runs[other])]


def rounds(values):
    return f"{statistics.median(values):.2f} (rounds: {', '.join(f'{value:.2f}' for value in values)})"


async def main():
    chosen = ARGUMENTS.only.split(",")
    with contextlib.suppress(KeyboardInterrupt):
        async with contextlib.AsyncExitStack() as stack:
            redis = await stack.enter_async_context(PlainRedis())
            nats = await stack.enter_async_context(Nats())
            owner = await stack.enter_async_context(LinkOwner())
            cluster = poll = campaign = None
            if {"votes", "load"} & set(chosen):
                cluster = await stack.enter_async_context(OneLoopCluster("ab"))
                campaign = await cluster.campaign_of("a")
                poll = await client.poll(cluster.a, campaign, type="STANDARD", durationSeconds=1800)

            async def votes(node, window, conns):
                result = await out(
                    tools.build("voteload"), "--port", node.port, "--campaign", campaign["id"], "--poll", poll["id"],
                    "--conns", conns, "--window", window, "--seconds", ARGUMENTS.seconds, "--binary",
                )  # fmt: skip
                return result["p50us"], result["p99us"], result["acksPerSecond"]

            if "votes" in chosen or "hop" in chosen:
                await hops(cluster if "votes" in chosen else None, redis, nats, owner, votes)
            if "load" in chosen:
                await load(cluster, redis, nats, owner, votes)


async def hops(cluster, redis, nats, owner, votes):
    one = Measured()
    for _ in range(ARGUMENTS.rounds):
        one.note("due", await psbench(["tcp", 0, 0], 1, RATE))
        for rate, name in ((RATE, ""), (0, " at once")):
            pace = f"@{rate}" if rate else 0
            one.note("relay" + name, await psbench(["tcp", 0, 0], 1, pace))
            one.note("link" + name, await link(owner.port, 1, rate))
            one.note("redis" + name, await psbench(redis.arguments(), 1, pace))
            one.note("nats" + name, await psbench(nats.arguments(), 1, pace))
        if cluster:
            for _ in range(SLICES):
                one.note("here", await votes(cluster.a, 1, 1))
                one.note("there", await votes(cluster.b, 1, 1))
    for when, name in (("a millisecond", ""), ("after the other", " at once")):
        for tool, what in (("link", "one link"), ("redis", "Redis"), ("nats", "NATS, two servers")):
            p99 = one.median(tool + name, 1) / one.median("relay" + name, 1)
            print(
                f"figure: one message {when}, there and back, p50 as a multiple of a bare relay's: {what}"
                f" {rounds(one.ratios(tool + name, 'relay' + name))}; p99 {p99:.2f}"
            )
    if cluster:
        p50, p99 = ({name: one.median(name, place) for name in ("here", "there")} for place in (0, 1))
        print(
            f"figure: a durable vote, one under way, medians: by the owner's node p50 {p50['here']:.0f} µs,"
            f" p99 {p99['here']:.0f} µs; by another p50 {p50['there']:.0f} µs ({p50['there'] / p50['here']:.2f} ×),"
            f" p99 {p99['there']:.0f} µs ({p99['there'] / p99['here']:.2f} ×)"
        )
        # The journal's time varies by more than the hop takes: the least disturbed run of each.
        here, there = (min(run[0] for run in one.runs[name]) for name in ("here", "there"))
        print(
            f"figure: a durable vote by another node than the owner's, least p50 of {len(one.runs['here'])} runs each:"
            f" {there / here:.2f} × that by the owner's node; the added p50 is {(there - here) / one.median('due'):.2f} ×"
            f" a bare relay's that counts from when a message was due, {(there - here) / one.median('relay'):.2f} × one's"
            f" that counts from sending, {(there - here) / one.median('relay at once'):.2f} × one's whose messages leave one"
            f" after the other, as votes do, {(there - here) / one.median('redis'):.2f} × Redis',"
            f" {(there - here) / one.median('nats'):.2f} × that of two NATS servers"
        )
    print(f"µs: {({name: [round(run[0], 1) for run in runs] for name, runs in one.runs.items()})}")


async def load(cluster, redis, nats, owner, votes):
    many = Measured()
    for _ in range(ARGUMENTS.rounds):
        many.note("redis", await psbench(redis.arguments(), WINDOW))
        many.note("link", await link(owner.port, WINDOW))
        many.note("runs", await link(owner.port, WINDOW, run=64))
        many.note("nats", await psbench(nats.arguments(), WINDOW))
        many.note("relay", await psbench(["tcp", 0, 0], WINDOW))
        many.note("here", await votes(cluster.a, 64, 16))
        many.note("there", await votes(cluster.b, 64, 16))
    for name, what in (("link", "a request for each"), ("runs", "64 to a request, as commands of one turn")):
        print(
            f"figure: messages a second on one link, each answered, {what}, as a multiple of Redis PUBLISH to SUBSCRIBE:"
            f" {rounds(many.ratios(name, 'redis', 2))}; of NATS over two servers"
            f" {statistics.median(many.ratios(name, 'nats', 2)):.2f}; of a bare relay"
            f" {statistics.median(many.ratios(name, 'relay', 2)):.2f}"
        )
    print(
        f"figure: durable votes a second by another node than the owner's, as a multiple of those by the owner's:"
        f" {rounds(many.ratios('there', 'here', 2))}"
    )
    print(f"a second: {({name: [round(run[2]) for run in runs] for name, runs in many.runs.items()})}")


asyncio.run(main())
