#!/usr/bin/env python3
"""Side by side: the node (one loop on core 0) and a bare epoll server there, the load on core 1.

Each measure alternates between the two for some rounds, so that a busy machine hurts both, and prints the median of
each and their ratio. Lines that begin with `figure: ` are results. Exit 1 if a run lost a message or refused a vote.
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

import http1  # noqa: E402
import tools  # noqa: E402
from node import Node, free_port, until  # noqa: E402

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--seconds", type=float, default=5, help="of each run")
arguments.add_argument("--rounds", type=int, default=3)
arguments.add_argument("--only", default="fanout,votes,idle")
arguments.add_argument("--limit-only", action="store_true", help="run the bare server alone, to check the tools")
ARGUMENTS = arguments.parse_args()
ZERO = "01890a5d-ac96-774b-bcce-b302099a8057"


class Limit:
    """The bare epoll server, on core 0."""

    host = "127.0.0.1"

    async def __aenter__(self):
        self.port = free_port()
        # It holds no stream of this program's: whoever reads these would wait for its end.
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", tools.build("wslimit"), "-b", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self.process.pid
        try:
            await until(self.listens, 10, "wslimit to listen")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def listens(self):
        try:
            async with http1.Connection(self):
                return True
        except OSError:
            return False

    async def __aexit__(self, *_):
        self.process.kill()
        self.process.wait()


def one_loop():
    return Node(wrapper=["taskset", "-c", "0"], TUMULTE_LOOPS=1, TUMULTE_LOG="warn")


async def load(*command):
    """Runs a load tool on core 1; returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        "taskset", "-c", "1", *map(str, command), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with status {process.returncode}: {out.decode()[:2000]}")
    return json.loads(out.decode().strip().splitlines()[-1])


async def create(node, path, body):
    reply = await http1.request(node, "POST", path, body)
    assert reply.status == 201, reply.body
    return reply.data


async def campaign(node):
    return (await create(node, "/v1/campaigns", {"name": "Benchmark"}))["id"]


async def poll(node, of, type):
    body = {"question": "Which?", "options": ["a", "b", "c"], "type": type, "durationSeconds": 1800}
    return (await create(node, f"/v1/campaigns/{of}/polls", body))["id"]


async def alternate(name, unit, measure_node, measure_limit):
    """Runs both in turn; prints medians and ratio. A measure gives (value, note)."""
    ours, theirs, note = [], [], ""
    for _ in range(ARGUMENTS.rounds):
        async with Limit() as limit:
            theirs.append((await measure_limit(limit))[0])
        if ARGUMENTS.limit_only:
            continue
        async with one_loop() as node:
            value, note = await measure_node(node)
            ours.append(value)
    limit = statistics.median(theirs)
    if ARGUMENTS.limit_only:
        print(f"figure: {name}: wslimit {limit:,.0f} {unit}", flush=True)
        return
    node = statistics.median(ours)
    print(
        f"figure: {name}: tumulte {node:,.0f} {unit}{note}; bare epoll {limit:,.0f}; ratio {node / limit:.2f}"
        f" (rounds: {', '.join(f'{a / b:.2f}' for a, b in zip(ours, theirs))})",
        flush=True,
    )


# The event as subscribers of the node get it; the bare server sends the same bytes.
SIGNAL = '{"op":"signal","campaign":"CAMPAIGN","name":"roll","data":{"n":{n},"t":{t}}}'
EVENT = (
    '{"op":"event","campaign":"CAMPAIGN","epoch":1700000000,"seq":{n},"at":"2026-01-01T00:00:00.000Z",'
    '"event":"signal","data":{"name":"roll","data":{"n":{n},"t":{t}}}}'
)


async def fanout():
    common = ["--mode", "fanout", "--conns", 1000, "--window", 8, "--duration", ARGUMENTS.seconds, "--quiet",
              "--match", '"event"', "--cpu", 1]  # fmt: skip

    def verdict(result):
        latency = result["latency_us"]
        return result["delivered_per_s"], f" (p50 {latency['p50'] / 1000:.1f} ms, p99 {latency['p99'] / 1000:.1f} ms)"

    async def on_node(node):
        of = await campaign(node)
        return verdict(await load(
            tools.build("wsload"), *common, "--url", f"ws://127.0.0.1:{node.port}/v1/ws",
            "--subprotocol", "tumulte.v1.json", "--pid", node.pid,
            "--hello", f'{{"op":"subscribe","id":1,"campaign":"{of}"}}', "--ready", '"subscribed"',
            "--pub", SIGNAL.replace("CAMPAIGN", of), "--error", '"op":"error"',
        ))  # fmt: skip

    async def on_limit(limit):
        base = f"ws://127.0.0.1:{limit.port}"
        return verdict(await load(
            tools.build("wsload"), *common, "--url", f"{base}/sub", "--pub-url", f"{base}/pub", "--pid", limit.pid,
            "--pub", EVENT.replace("CAMPAIGN", ZERO),
        ))  # fmt: skip

    await alternate("signals of one publisher, 8 outstanding, to 1,000 subscribers", "deliveries/s", on_node, on_limit)


async def votes(binary, type):
    kind = ["--binary"] if binary else []
    common = ["--conns", 100, "--window", 8, "--seconds", ARGUMENTS.seconds, *kind]

    def verdict(result):
        return result["acksPerSecond"], f" (p50 {result['p50us'] / 1000:.1f} ms, p99 {result['p99us'] / 1000:.1f} ms)"

    async def on_node(node):
        of = await campaign(node)
        vote_in = await poll(node, of, type)
        result = await load(
            tools.build("voteload"), "--port", node.port, "--campaign", of, "--poll", vote_in, *common
        )
        path = f"/v1/campaigns/{of}/polls/{vote_in}"
        total = (await http1.request(node, "GET", path)).data["totalVotes"]
        assert total >= result["acks"], f"{result['acks']} votes were acknowledged, {total} are in the tally"
        return verdict(result)

    async def on_limit(limit):
        return verdict(await load(
            tools.build("voteload"), "--port", limit.port, "--path", "/echo", "--echo", "--campaign", ZERO,
            "--poll", ZERO, *common,
        ))  # fmt: skip

    name = "binary" if binary else "JSON"
    title = f"durable votes over WebSocket, {name}, {type} poll, 100 connections × 8"
    await alternate(title, "acks/s", on_node, on_limit)


async def idle():
    common = ["--mode", "idle", "--conns", 10000, "--hold", 3, "--quiet"]

    async def on_node(node):
        of = await campaign(node)
        result = await load(
            tools.build("wsload"), *common, "--url", f"ws://127.0.0.1:{node.port}/v1/ws",
            "--subprotocol", "tumulte.v1.json", "--pid", node.pid,
            "--hello", f'{{"op":"subscribe","id":1,"campaign":"{of}"}}', "--ready", '"subscribed"',
        )  # fmt: skip
        return result["rss_bytes_per_conn"], f" (+ {result['slab_bytes_per_conn']} in the kernel, both ends)"

    async def on_limit(limit):
        result = await load(
            tools.build("wsload"), *common, "--url", f"ws://127.0.0.1:{limit.port}/sub", "--pid", limit.pid
        )
        return result["rss_bytes_per_conn"], ""

    await alternate("idle memory, 10,000 subscribed connections", "bytes each", on_node, on_limit)


async def main():
    with contextlib.suppress(KeyboardInterrupt):
        chosen = ARGUMENTS.only.split(",")
        if "fanout" in chosen:
            await fanout()
        if "votes" in chosen:
            for type in ("UNIQUE", "STANDARD"):
                await votes(False, type)
                await votes(True, type)
        if "idle" in chosen:
            await idle()


asyncio.run(main())
