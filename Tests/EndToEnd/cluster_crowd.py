"""Ten thousand subscribers of one poll over three nodes: what crosses between nodes grows with nodes, not with
subscribers. And links that are cut between a command and its answer."""

import asyncio
import contextlib
import json
import re
import time

import client
import http1
import suite
import tools
from cluster_nodes import Cluster, Follower
from crowd_process import Crowd
from node import until
from proxy import Proxy
from suite import test, within

arguments = suite.parser("cluster crowd")
arguments.add_argument("--subscribers", type=int, default=10_000)
ARGUMENTS = arguments.parse_args()


async def frames(node):
    """Frames of a node's links so far: {(direction, kind): count}."""
    text = (await http1.request(node, "GET", "/metrics")).body.decode()
    found = re.findall(r'^tumulte_link_frames_(sent|received)_total\{kind="(\w+)"\} (\d+)$', text, re.MULTILINE)
    assert found, text[:2000]
    return {(direction, kind): int(count) for direction, kind, count in found}


async def counted(cluster):
    return {name: await frames(node) for name, node in cluster.nodes.items()}


def grown(before, after):
    return {
        name: {which: after[name][which] - before[name][which] for which in after[name]} for name in after
    }  # fmt: skip


async def poll_before(cluster, subscribers, voters):
    """Holds a poll on node a before so many subscribers over all nodes; what crossed meanwhile, and how many events."""
    campaign = await cluster.campaign_of("a")
    shares = [subscribers // 3 + (place < subscribers % 3) for place in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        at_start = await counted(cluster)
        started = time.monotonic()
        crowds = [
            await stack.enter_async_context(Crowd(node, campaign, share - 1))
            for node, share in zip(cluster.all(), shares)
        ]
        followers = [await stack.enter_async_context(Follower.on(node, campaign)) for node in cluster.all()]
        for crowd in crowds:
            await crowd.answer("ready")
        joined = await counted(cluster)
        took = time.monotonic() - started
        poll = await client.poll(cluster.a, campaign, durationSeconds=1800)
        for crowd in crowds:
            await crowd.ask(f"vote {poll['id']} {voters}", "voted")
        over = await client.cancel(cluster.a, poll)
        total = over.data["totalVotes"]
        assert total == 3 * voters, (total, voters)
        for crowd in crowds:
            report = json.loads(await crowd.ask(f"end {total}", "end"))
            faults = {name: report[name] for name in ("wrongStarts", "wrongEnds", "disorder", "wrongTotals", "gone")}
            assert not any(faults.values()), f"of {report['subscribers']} subscribers: {faults}"
        for follower in followers:
            await follower.sees(lambda f: f.ended, "the end")
            assert follower.ended[0]["totalVotes"] == total and len(follower.started) == 1
        ended = await counted(cluster)
    events = [len(f.started) + f.updates + len(f.ended) for f in followers]
    assert events[0] == events[1] == events[2], events
    # Of a crowd on another node than the owner's one request leaves in ten milliseconds, whoever else comes.
    asked = sum(counts[("sent", "subscribe")] for counts in grown(at_start, joined).values())
    assert asked <= 2 * (took / 0.010 + 5), f"{asked} requests in {took:.2f} s"
    return events[0], asked, grown(joined, ended)


@test
@within(200)
async def what_crosses_between_nodes_grows_with_nodes_and_not_with_subscribers():
    async with Cluster() as cluster:
        for subscribers in (10, ARGUMENTS.subscribers):
            voters = 2 if subscribers == 10 else 300
            events, asked, polling = await poll_before(cluster, subscribers, voters)
            assert events >= 3, "a start, an update and an end"
            sent = {name: counts[("sent", "event")] for name, counts in polling.items()}
            received = {name: counts[("received", "event")] for name, counts in polling.items()}
            assert sent == {"a": 2 * events, "b": 0, "c": 0}, (events, sent)
            assert received == {"a": 0, "b": events, "c": events}, (events, received)
            print(
                f"figure: {subscribers} subscribers on three nodes: {events} events, {sum(sent.values())} event frames"
                f" between nodes; {asked} requests to follow while they joined"
            )


class WiredCluster(Cluster):
    """A cluster in which each node's links are reached by way of a proxy."""

    def __init__(self, names):
        super().__init__(names)
        self.wires = {}

    def node(self, name):
        node = super().node(name)
        wire = Proxy(int(node.environment["TUMULTE_CLUSTER"].rsplit(":", 1)[1]))
        node.environment["TUMULTE_ADVERTISE"] = f"127.0.0.1:{wire.port}"
        self.wires[name] = wire
        return node

    async def add(self, name):
        self.nodes[name] = self.node(name)
        await self.stack.enter_async_context(self.wires[name])
        await self.nodes[name].start()
        return self.nodes[name]


@test
@within(120)
async def a_link_cut_before_the_answer_leaves_only_keyless_votes_unknown():
    async with WiredCluster("ab") as cluster:
        campaign = await cluster.campaign_of("a")
        poll = await client.poll(cluster.a, campaign, type="STANDARD")
        path = f"/v1/campaigns/{campaign['id']}/polls"
        wire = cluster.wires["a"]

        cuts = 0

        async def are_open():
            return (await frames(cluster.b))[("received", "welcome")] >= 2 * (cuts + 1)

        async def lost(what, is_done):
            """Asks by b; the answer is swallowed and the links of both loops cut once the owner has done it."""
            nonlocal cuts
            await until(are_open, what="the links of both loops")
            wire.mute()
            asking = asyncio.create_task(what)
            await until(is_done, what="the owner to do it")
            wire.heal()
            cuts += 1
            return await asking

        def total(votes):
            async def reached():
                return (await client.read_poll(cluster.a, poll))["totalVotes"] == votes

            return reached

        keyed = await lost(client.vote(cluster.b, poll, option=0, headers={"Idempotency-Key": "once"}), total(1))
        assert keyed.status == 200 and keyed.data["status"] == "duplicate", keyed.body
        async with client.websocket(cluster.b) as socket:
            reply = await lost(socket.vote(poll, 1, key="again"), total(2))
            assert reply.get("status") == "duplicate", reply
            reply = await lost(socket.vote(poll, 1), total(3))
            assert reply.get("code") == "timeout", reply
        keyless = await lost(client.vote(cluster.b, poll, option=2), total(4))
        assert keyless.status == 504 and keyless.code == "timeout", keyless.body
        assert (await client.cancel(cluster.b, poll)).status == 200

        async def is_launched():
            return (await http1.request(cluster.a, "GET", path)).data[0]["status"] == "RUNNING"

        launch = http1.request(
            cluster.b, "POST", path, {"question": "Again?", "options": ["yes", "no"], "durationSeconds": 600},
            headers={"Idempotency-Key": "launch"},
        )  # fmt: skip
        launched = await lost(launch, is_launched)
        assert launched.status == 201, launched.body
        polls = (await http1.request(cluster.a, "GET", path)).data
        assert len(polls) == 2 and polls[0]["id"] == launched.data["id"], polls
        assert (await client.read_poll(cluster.a, poll))["totalVotes"] == 4


if __name__ == "__main__":
    tools.build("crowd")
    suite.run(ARGUMENTS.only, parallel=1)
