"""Every kind of client on a node that does not own what it asks for: event streams, binary WebSockets, requests with an
Idempotency-Key. What they send reaches the owner, what they get is what the owner's own clients get.
"""

import asyncio
import contextlib
import signal

import client
import http1
import node as nodes
import suite
from client import position
from cluster_nodes import Cluster
from node import until
from suite import test, within

WEIGHTS = {"a": 1, "b": 2, "c": 1}
LAUNCH = {"question": "Left or right?", "options": ["left", "right", "back"], "type": "UNIQUE", "durationSeconds": 1800}


class Mixed(Cluster):
    """`a` and `c` are told everything by variables; `b` as deploy/stack.yml does it: secrets by files, and its address not
    at all. `b` has twice the others' weight, too."""

    def node(self, name):
        node = super().node(name)
        if name != "b":
            return node
        for variable in ("DATABASE_URL", "REDIS_URL", "TUMULTE_CLUSTER_SECRET"):
            path = node.folder / variable
            path.write_text(node.environment.pop(variable) + "\n")
            node.environment[f"{variable}_FILE"] = str(path)
        port = node.environment.pop("TUMULTE_ADVERTISE").rsplit(":", 1)[1]
        node.environment |= {"TUMULTE_CLUSTER": f"0.0.0.0:{port}", "TUMULTE_WEIGHT": str(WEIGHTS[name])}
        return node

    async def settled(self):
        expected = {name: 4096 * weight // sum(WEIGHTS.values()) for name, weight in WEIGHTS.items()}

        async def is_settled():
            return await self.shares() == expected

        await until(is_settled, what=f"the shares {expected}")


def binary(node):
    return client.websocket(node, subprotocols=["tumulte.v1.binary"])


def place(mark):
    """The position that an event's `id:` names."""
    epoch, seq = mark.split("-")
    return int(epoch), int(seq)


class Stream:
    """An event stream whose positions must rise."""

    def __init__(self, events):
        self.events = events
        self.at = (0, 0)
        self.mark = None

    @classmethod
    @contextlib.asynccontextmanager
    async def on(cls, node, campaign, last=None):
        async with client.event_stream(node, campaign["id"], last=last) as events:
            stream = cls(events)
            if last:
                stream.at = place(last)
            yield stream

    async def next(self):
        name, data, mark = await self.events.next()
        rises = place(mark) > self.at or name == "snapshot" and place(mark) >= self.at
        assert rises, f"{name} at {mark} after {self.at}"
        self.at, self.mark = place(mark), mark
        return name, data

    async def until(self, name, where=lambda data: True):
        """The next such event. What comes before it may only be updates: nothing else was skipped, and nothing repeated."""
        while True:
            found, data = await self.next()
            if found == name and where(data):
                return data
            assert found == "poll:update", (found, data)


async def tally_is(cluster, poll, votes, names="abc"):
    found = await cluster.tallies(poll, names)
    assert found["votes"] == votes and found["totalVotes"] == sum(votes), found


@test
@within(120)
async def an_event_stream_goes_on_elsewhere_when_the_owner_is_drained():
    async with Cluster() as cluster:
        campaign = await cluster.campaign_of("a")
        async with Stream.on(cluster.b, campaign) as kept:
            async with Stream.on(cluster.b, campaign) as stream:
                for each in (stream, kept):
                    name, data = await each.next()
                    assert name == "snapshot" and data["poll"] is None, (name, data)
                poll = await client.poll(cluster.c, campaign, type="UNIQUE", durationSeconds=1800)
                assert (await stream.until("poll:start"))["id"] == poll["id"]
                for number in range(6):
                    reply = await client.vote(cluster.nodes["bc"[number % 2]], poll, option=0, voter=f"v{number}")
                    assert reply.status == 200 and reply.data["status"] == "counted", reply.body
                await stream.until("poll:update", lambda data: data["votes"] == [6, 0, 0])
                mark = stream.mark
            # Nobody reads that one while votes are counted and the slot moves.
            for number in range(3):
                reply = await client.vote(cluster.c, poll, option=1, voter=f"w{number}")
                assert reply.status == 200, reply.body
            cluster.a.signal(signal.SIGTERM)
            assert await cluster.a.ended() == 0, cluster.a.log_tail()
            owner, _ = await cluster.owner(campaign)
            assert owner in "bc", owner
            async with Stream.on(cluster.c, campaign, last=mark) as resumed:
                await resumed.until("poll:update", lambda data: data["votes"] == [6, 3, 0])
                moved = await client.vote(cluster.b, poll, option=2, voter="v0")
                assert moved.data["status"] == "moved", moved.body
                path = f"/v1/campaigns/{campaign['id']}/signals"
                sent = await http1.request(cluster.b, "POST", path, {"name": "dice", "data": {"d20": 17}})
                assert sent.status == 202, sent.body
                assert (await client.cancel(cluster.b, poll)).status == 200
                ends = []
                for each in (resumed, kept):
                    if each is kept:
                        assert (await each.until("poll:start"))["id"] == poll["id"]
                    assert await each.until("signal") == {"name": "dice", "data": {"d20": 17}}
                    assert each.at == position(sent.data), (each.at, sent.data)
                    ends.append((await each.until("poll:end"), each.at))
                assert ends[0] == ends[1], ends
                end = ends[0][0]
                assert end["votes"] == [5, 3, 1] and end["status"] == "CANCELLED" and end["winners"] == [0], end
                await tally_is(cluster, poll, [5, 3, 1], "bc")


@test
@within(120)
async def binary_clients_vote_and_follow_on_a_node_that_does_not_own_the_poll():
    async with Cluster() as cluster:
        campaign = await cluster.campaign_of("a")
        async with binary(cluster.c) as socket, client.websocket(cluster.a) as owners, Stream.on(cluster.b, campaign) as stream:
            assert (await socket.ask(op="hello", voter="ann"))["node"] == "c"
            first, second = await socket.subscribe(campaign["id"]), await owners.subscribe(campaign["id"])
            first.pop("id"), second.pop("id")
            assert first == second, (first, second)
            assert (await stream.next())[0] == "snapshot"
            poll = await client.poll(cluster.b, campaign, type="UNIQUE", durationSeconds=1800)
            acks = []
            for option, fields, status in (
                (1, {}, "counted"), (1, {}, "same"), (2, {}, "moved"), (0, {"voter": "bob", "channel": "süd", "key": "k"}, "counted"),
                (0, {"voter": "bob", "channel": "süd", "key": "k"}, "duplicate"),
            ):  # fmt: skip
                ack = await socket.vote(poll, option, **fields)
                assert ack["op"] == "ack" and ack["status"] == status, ack
                acks.append(position(ack))
            assert acks == sorted(acks), acks
            # All at once: each ack belongs to its request, each counts once.
            replies = await asyncio.gather(*(socket.vote(poll, n % 3, voter=f"v{n % 300}") for n in range(600)))
            statuses = sorted(reply.get("status", reply.get("code")) for reply in replies)
            assert statuses == ["counted"] * 300 + ["same"] * 300, statuses[:3]
            assert (await socket.vote(poll, 9, voter="eve"))["code"] == "invalid_option"
            signal_ack = await socket.ask(op="signal", campaign=campaign["id"], name="dice", data={"d20": [17, "é"]})
            assert signal_ack["op"] == "ack", signal_ack
            assert (await client.cancel(cluster.b, poll)).status == 200
            assert (await stream.until("poll:start"))["id"] == poll["id"]
            for name in ("poll:start", "signal", "poll:end"):
                ours, theirs = await socket.event(name), await owners.event(name)
                assert ours == theirs, (ours, theirs)
                if name != "poll:start":
                    assert await stream.until(name) == ours["data"] and stream.at == position(ours), (stream.at, ours)
                if name == "signal":
                    assert position(ours) == position(signal_ack), (ours, signal_ack)
            assert ours["data"]["votes"] == [101, 100, 101], ours["data"]
            assert ours["data"]["channels"] == [{"channel": "süd", "totalVotes": 1, "votes": [1, 0, 0]}], ours["data"]
            assert (await socket.vote(poll, 0, voter="late"))["code"] == "poll_closed"
            # An operator empties the node: its clients stay, and are served as before; its container is well.
            other = await client.poll(cluster.c, campaign, type="UNIQUE", durationSeconds=1800)
            status, out, err = await nodes.command("drain", "c", "--url", cluster.b.base)
            assert status == 0, out + err

            async def is_draining():
                return (await http1.request(cluster.c, "GET", "/health/ready")).status == 503

            await until(is_draining, what="the node to say that it drains")
            status, out, err = await nodes.command("health", "--url", cluster.c.base)
            assert status == 0, (status, out + err)
            assert (await socket.vote(other, 2, voter="ann"))["status"] == "counted"
            await socket.event("poll:update", where=lambda data: data["votes"] == [0, 0, 1])
        await tally_is(cluster, poll, [101, 100, 101])
        await tally_is(cluster, other, [0, 0, 1])


@test
@within(120)
async def a_request_that_is_repeated_on_another_node_under_its_key_has_one_effect():
    async with Mixed() as cluster:

        async def post(name, path, body, key):
            return await http1.request(cluster.nodes[name], "POST", path, body, headers={"Idempotency-Key": key})

        async def has_one_effect(path, body, key, status):
            """Sent to one node and repeated on the others, then sent anew to all of them at once."""
            replies = [await post(name, path, body, key) for name in "bca"]
            for reply in replies:
                assert (reply.status, reply.json) == (status, replies[0].json), (reply.status, reply.body)
            assert [reply.headers["x-tumulte-node"] for reply in replies] == list("bca")
            return replies[0].data

        created = await has_one_effect("/v1/campaigns", {"name": "Keyed"}, "create", 201)
        other = await post("c", "/v1/campaigns", {"name": "Another"}, "create")
        assert other.status == 409 and other.code == "conflict", other.body
        at_once = await asyncio.gather(*(post(n, "/v1/campaigns", {"name": "At once"}, "many") for n in "abc" * 5))
        assert {reply.status for reply in at_once} == {201}, [reply.body for reply in at_once]
        assert len({reply.data["id"] for reply in at_once}) == 1, [reply.data["id"] for reply in at_once]

        owned = await cluster.campaign_of("a")
        for campaign in (created, owned):
            path = f"/v1/campaigns/{campaign['id']}/polls"
            poll = await has_one_effect(path, LAUNCH, "launch", 201)
            other = await post("c", path, LAUNCH | {"question": "Another?"}, "launch")
            assert other.status == 409 and other.code == "conflict", other.body
            polls = (await http1.request(cluster.c, "GET", path)).data
            assert [found["id"] for found in polls] == [poll["id"]], polls
            votes = [
                await client.vote(
                    cluster.nodes[name], poll, option=1, voter="ann", headers={"Idempotency-Key": "vote"}
                )
                for name in "bca"
            ]
            assert [vote.status for vote in votes] == [200] * 3, [vote.body for vote in votes]
            assert votes[0].data["status"] == "counted", votes[0].body
            assert {vote.data["status"] for vote in votes[1:]} <= {"counted", "duplicate"}, votes[1].body
            await tally_is(cluster, poll, [0, 1, 0])
            cancelled = await has_one_effect(f"{path}/{poll['id']}/cancel", {}, "cancel", 200)
            assert cancelled["status"] == "CANCELLED" and cancelled["votes"] == [0, 1, 0], cancelled
        # The answer is known to whoever serves the campaign next.
        cluster.a.kill()

        async def repeated(name):
            reply = await http1.request(cluster.nodes[name], "POST", path, LAUNCH, headers={"Idempotency-Key": "launch"})
            assert reply.status in (201, 503, 504), reply.body
            return reply.data if reply.status == 201 else None

        for name in "bc":
            assert (await until(lambda: repeated(name), what="an answer"))["id"] == poll["id"]
        assert len((await http1.request(cluster.b, "GET", path)).data) == 1


class Guarded(Cluster):
    """Clients need tokens."""

    secret = "a secret of tokens that is long enough for the tests"

    def node(self, name):
        node = super().node(name)
        node.environment["TUMULTE_TOKEN_SECRET"] = self.secret
        return node


@test
@within(120)
async def launches_of_one_host_by_all_nodes_count_together():
    async with Guarded() as cluster:
        campaigns = {}

        async def host(name):
            token = client.token(cluster.secret, sub=name, role="host")
            campaigns[token] = await client.campaign(cluster.a, token=token)
            return token

        async def launch(name, host):
            path = f"/v1/campaigns/{campaigns[host]['id']}/polls"
            reply = await http1.request(cluster.nodes[name], "POST", path, LAUNCH, token=host)
            if reply.status == 201:
                assert (await client.cancel(cluster.nodes[name], reply.data, token=host)).status == 200
            return reply

        def lapses():
            """How often a node counted for itself, since Redis was slow."""
            return sum(node.log.read_text().count("launches.redis_failed") for node in cluster.all())

        for attempt in range(5):
            ann, before = await host(f"ann-{attempt}"), lapses()
            launches = [(await launch(name, ann)).status for name in ("abc" * 7)[:20]]
            refusals = [await launch(name, ann) for name in "abc"]
            if lapses() == before:
                break
        assert launches == [201] * 20, launches
        for refused in refusals:
            assert refused.status == 429 and refused.code == "rate_limited", (refused.status, refused.body)
            assert 1 <= int(refused.headers["retry-after"]) <= 60, refused.headers
        assert (await launch("b", await host("bob"))).status == 201
        # Without Redis each node counts by itself, of what came in there.
        await asyncio.to_thread(cluster.redis.kill)
        assert [(await launch(name, ann)).status for name in "abc"] == [201] * 3


if __name__ == "__main__":
    arguments = suite.parser("cluster edges").parse_args()
    suite.run(arguments.only, parallel=2)
