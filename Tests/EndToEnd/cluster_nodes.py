"""A cluster under test: nodes on a database and a Redis of its own, voters and followers on each of them."""

import asyncio
import collections
import contextlib
import math
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import client
import database
import election
import node as nodes
from node import BINARY, Node, free_port, until
from timing import limited

REDIS_SCRIPT = database.ROOT / "scripts" / "redis.sh"
SECRET = "a secret that every node of this test cluster knows"
CLUSTER_NAME = "end-to-end"
# A command has five seconds, and its clients share two processors with everything else: only a hang reaches this.
ANSWER_SECONDS = 30


class Redis:
    """`with Redis() as redis:` is a Redis of the test's own, with `url`; it may be killed, emptied and started again."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tumulte-redis-"))
        self.url = self._script("start").strip()
        return self

    def __exit__(self, *_):
        subprocess.run([REDIS_SCRIPT, "kill", self.folder], capture_output=True, timeout=120)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _script(self, command):
        done = subprocess.run([REDIS_SCRIPT, command, self.folder], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self):
        assert self._script("start").strip() == self.url, "Redis came back elsewhere"

    def kill(self):
        self._script("kill")

    def keep_copy(self):
        """A copy of what a Redis that runs has stored by now."""
        self._script("stop")
        shutil.copytree(self.folder / "appendonlydir", self.folder / "copy")
        self.start()

    def put_copy_back(self):
        """What a killed Redis had stored when the copy was made: what came since is lost."""
        shutil.rmtree(self.folder / "appendonlydir")
        (self.folder / "copy").rename(self.folder / "appendonlydir")

    def forget(self):
        """What a killed Redis had written: gone."""
        for path in self.folder.rglob("*"):
            if path.suffix in (".aof", ".rdb", ".manifest"):
                path.unlink()

    def command(self, *words):
        password, _, port = self.url.removeprefix("redis://:").removesuffix("/0").replace("@", ":").split(":")
        done = subprocess.run(
            ["redis-cli", "-h", "127.0.0.1", "-p", port, "-e", *words],
            env=os.environ | {"REDISCLI_AUTH": password}, capture_output=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.removesuffix(b"\n")

    table_key = f"tumulte:placement:{CLUSTER_NAME}"

    def table_version(self):
        """The version of the placement table, its first eight bytes; 0 where there is none."""
        return int.from_bytes(self.command("GETRANGE", self.table_key, "0", "7"), "big")


class Cluster:
    """`async with Cluster() as cluster:` gives ready nodes, by default `a`, `b` and `c`, each with a share of the slots.

    With `own_server` their PostgreSQL is one that nobody else uses, `server`. Nodes that are added are of the build `binary`.
    """

    binary = BINARY

    def __init__(self, names="abc", own_server=False):
        self.names = names
        self.own_server = own_server
        self.nodes = {}

    async def __aenter__(self):
        self.stack = contextlib.AsyncExitStack()
        try:
            url = None
            if self.own_server or "TUMULTE_TEST_POSTGRES" not in os.environ:
                self.server = await asyncio.to_thread(self.stack.enter_context, database.Server())
                url = self.server.url
            self.redis = self.stack.enter_context(Redis())
            self.url = await asyncio.to_thread(database.create, self.binary, url)
            await self.prepare()
            self.stack.push_async_exit(self._end)
            await asyncio.gather(*(self.add(name) for name in self.names))
            await self.settled()
        except BaseException as error:
            await self.stack.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(self, *failure):
        await self.stack.__aexit__(*failure)

    async def prepare(self):
        """What a kind of cluster needs beside the stores before its first node starts."""

    async def _end(self, kind, *_):
        for node in self.nodes.values():
            node._close(failed=kind is not None)

    def node(self, name):
        """A node of this cluster that has not been started."""
        links = f"127.0.0.1:{free_port()}"
        node = Node(
            TUMULTE_NODE_NAME=name,
            DATABASE_URL=self.url,
            REDIS_URL=self.redis.url,
            TUMULTE_CLUSTER=links,
            TUMULTE_ADVERTISE=links,
            TUMULTE_CLUSTER_SECRET=SECRET,
            TUMULTE_CLUSTER_NAME=CLUSTER_NAME,
            TUMULTE_LOOPS=2,
        )
        node.binary = self.binary
        return node

    async def add(self, name):
        self.nodes[name] = self.node(name)
        await self.nodes[name].start()
        return self.nodes[name]

    def __getattr__(self, name):
        try:
            return self.__dict__["nodes"][name]
        except KeyError:
            raise AttributeError(name) from None

    def all(self):
        return list(self.nodes.values())

    async def sql(self, text):
        return await asyncio.to_thread(database.sql, self.url, text)

    async def shares(self):
        """How many slots each living node owns, by name."""
        rows = await self.sql(
            "SELECT n.name, count(*) FROM slot_lease s JOIN node_lease n ON n.incarnation = s.owner AND NOT n.dead"
            " GROUP BY n.name"
        )
        return {name: int(count) for name, count in (row.split("|") for row in rows)}

    async def settled(self, *names):
        """Waits until these nodes (without any: all) own all slots, none more than its share; returns the shares."""
        expected = set(names or self.nodes)
        cap = math.ceil(4096 / len(expected))

        async def is_settled():
            shares = await self.shares()
            is_fair = set(shares) == expected and max(shares.values()) <= cap
            return shares if is_fair and sum(shares.values()) == 4096 else None

        return await until(is_settled, what=f"fair shares of {sorted(expected)}")

    async def slot(self, campaign):
        bits = campaign["id"].replace("-", "")
        rows = await self.sql(
            f"SELECT slot FROM journal WHERE position('\\x{bits}'::bytea IN campaigns) > 0"
            f" UNION SELECT slot FROM snapshot WHERE campaign = '{campaign['id']}'"
        )
        assert len(rows) == 1, f"{campaign['id']} is in the slots {rows}"
        return int(rows[0])

    async def owner(self, campaign):
        """The name of the node that serves a campaign, and the epoch."""
        rows = await self.sql(
            "SELECT n.name, s.epoch FROM slot_lease s JOIN node_lease n ON n.incarnation = s.owner"
            f" WHERE s.slot = {await self.slot(campaign)}"
        )
        assert len(rows) == 1, rows
        name, epoch = rows[0].split("|")
        return name, int(epoch)

    async def campaign_of(self, name):
        """A campaign that lives on the node `name`."""
        while True:
            campaign = await client.campaign(self.nodes[name])
            if (await self.owner(campaign))[0] == name:
                return campaign

    async def tallies(self, poll, names=None):
        """What every node says about a poll, once each says the same; updates of one batch reach all of them."""
        answers = [await client.read_poll(node, poll) for name, node in self.nodes.items() if not names or name in names]
        assert all(answer == answers[0] for answer in answers), answers
        return answers[0]


class Booth(election.Campaigning):
    """The clients that vote on one node. Counts what went wrong, and notes when votes of a new epoch were acknowledged."""

    def __init__(self, node, elections):
        super().__init__(node, elections)
        self.errors = collections.Counter()
        self.first_ack = {}  # (campaign, epoch) → when
        self.node_may_end = False
        self.longest = 0  # seconds until everything that was sent at once was answered

    async def enter(self):
        """As everywhere; where the node may end, its clients wait until somebody starts it again."""
        while self.node_may_end and self.node.process.poll() is not None and not self.stopping:
            await election.pause(0.05)
        if not self.node_may_end:
            await super().enter()

    async def socket_turn(self, *arguments):
        return await self._timed(super().socket_turn(*arguments))

    async def http_turn(self, *arguments):
        return await self._timed(super().http_turn(*arguments))

    async def _timed(self, turn):
        started = time.monotonic()
        left = await turn
        self.longest = max(self.longest, time.monotonic() - started)
        return left

    async def answered(self, election, identity, reply, sent_before, last):
        error = reply.get("error") if isinstance(reply.get("error"), dict) else reply
        if "code" in error:
            self.errors[f"{error['code']}: {error.get('message')}"] += 1
        else:
            self.first_ack.setdefault((election.poll["campaignId"], reply["epoch"]), time.monotonic())
        return await super().answered(election, identity, reply, sent_before, last)


class Voting:
    """People vote on several nodes at once, in a UNIQUE and a STANDARD poll that live on the node `home`."""

    def __init__(self, cluster, booths, polls):
        self.cluster = cluster
        dice = iter((0.25, 0.75))
        self.elections = [election.Election(poll, poll["type"] == "UNIQUE", next(dice)) for poll in polls]
        for held in self.elections:
            held.model.nodes_repeat = True
        self.booths = [Booth(node, self.elections) for node in booths]

    @classmethod
    async def held(cls, cluster, homes, booths):
        """A poll of each kind; with two names in `homes` the UNIQUE one lives on the first and the other on the second."""
        polls = []
        for kind, home in zip(("UNIQUE", "STANDARD"), homes * (3 - len(homes))):
            campaign = await cluster.campaign_of(home)
            polls.append(await client.poll(cluster.nodes[home], campaign, type=kind, durationSeconds=1800))
        return cls(cluster, [cluster.nodes[name] for name in booths], polls)

    async def __aenter__(self):
        self.tasks = [
            asyncio.create_task(kind(election))
            for booth in self.booths
            for election in self.elections
            for kind in (booth.socket_client, booth.socket_client, booth.http_client)
        ]
        self.ended = asyncio.gather(*self.tasks)
        return self

    async def __aexit__(self, kind, *_):
        for booth in self.booths:
            booth.stopping = True
        # A wait that ends in the very turn in which it is cancelled forgets the cancellation: then it is repeated.
        left = set(self.tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=5)
        await asyncio.gather(self.ended, return_exceptions=True)

    @property
    def acks(self):
        return sum(booth.acks for booth in self.booths)

    @property
    def unknowns(self):
        return sum(booth.unknowns for booth in self.booths)

    @property
    def errors(self):
        return sum((booth.errors for booth in self.booths), collections.Counter())

    async def more(self, acks=300):
        """Waits until every booth has had so many more votes acknowledged."""
        await asyncio.gather(*(booth.reach(booth.acks + acks, self.ended) for booth in self.booths))

    async def service(self, since, epochs, seconds, elections=None):
        """Waits until these elections (all of them) have acknowledged votes of an epoch that is higher than `epochs`;
        returns how long after `since` the last one began to."""

        def served():
            moments = []
            for poll_election in elections or self.elections:
                campaign = poll_election.poll["campaignId"]
                times = [
                    moment
                    for booth in self.booths
                    for (of, epoch), moment in booth.first_ack.items()
                    if of == campaign and epoch > epochs[campaign]
                ]
                if not times:
                    return None
                moments.append(min(times))
            return max(moments) - since

        return await until(served, seconds, "votes to be acknowledged by the next owner")

    async def close(self, reader):
        """Lets every vote become known, then compares the tallies that `reader` shows with what the voters know."""
        for booth in self.booths:
            booth.stopping = True
        await limited(asyncio.shield(self.ended), 120)
        faults = [fault for booth in self.booths for fault in booth.faults]
        faults += await election.check(reader, self.elections, exact=True)
        assert not faults, faults[:10]
        silent = sum(booth.silent for booth in self.booths)
        assert silent == 0, f"{silent} requests got no answer"
        assert self.longest < ANSWER_SECONDS, f"an answer took {self.longest:.1f} s"
        for poll_election in self.elections:
            verdict = await client.verify(reader, poll_election.poll["campaignId"])
            assert verdict["ok"] and verdict["liveHash"] == verdict["replayHash"], verdict

    @property
    def longest(self):
        return max(booth.longest for booth in self.booths)

    @property
    def figure(self):
        errors = {error.split(":")[0]: 0 for error in self.errors}
        for error, count in self.errors.items():
            errors[error.split(":")[0]] += count
        return (
            f"{self.acks} votes acknowledged, {self.unknowns} in requests without an answer, errors {errors},"
            f" the longest answer took {self.longest:.2f} s"
        )


async def epochs(cluster, voting):
    """The epoch of each election's campaign."""
    return {
        election.poll["campaignId"]: (await cluster.owner({"id": election.poll["campaignId"]}))[1]
        for election in voting.elections
    }


async def follow(stack, cluster, names, voting):
    return [
        await stack.enter_async_context(Follower.on(cluster.nodes[name], {"id": election.poll["campaignId"]}))
        for name in names
        for election in voting.elections
    ]


async def all_see_the_tally(followers, reader, voting):
    """Every subscriber has got as far as the tally that a node shows."""
    for election in voting.elections:
        tally = await client.read_poll(reader, election.poll)
        for follower in followers:
            if follower.campaign["id"] == election.poll["campaignId"]:
                await follower.sees(lambda f: f.poll["votes"] == tally["votes"], f"the tally {tally['votes']}")


class Follower:
    """A subscriber that keeps every position and event of a campaign, and notices where one goes down."""

    def __init__(self, socket, campaign, first):
        self.socket = socket
        self.campaign = campaign
        self.position = client.position(first)
        self.poll = first.get("poll")
        self.started, self.ended, self.updates, self.resyncs = [], [], 0, 0
        self.faults = []

    @classmethod
    @contextlib.asynccontextmanager
    async def on(cls, node, campaign):
        async with client.websocket(node) as socket:
            yield cls(socket, campaign, await socket.subscribe(campaign["id"]))

    def read(self):
        """Takes in everything that has arrived."""
        arrived, self.socket.inbox[:] = list(self.socket.inbox), []
        for message in arrived:
            if message.get("op") not in ("event", "subscribed") or message.get("campaign") != self.campaign["id"]:
                continue
            here = client.position(message)
            if here < self.position or (message["op"] == "event" and here == self.position):
                self.faults.append(f"the position went from {self.position} to {here}: {message}")
            self.position = here
            if message["op"] == "subscribed":
                self.resyncs += 1
                self.poll = message["poll"] or self.poll
            elif message["event"] == "poll:start":
                self.started.append(message["data"])
                self.poll = message["data"]
            elif message["event"] == "poll:end":
                self.ended.append(message["data"])
                self.poll = message["data"]
            elif message["event"] == "poll:update":
                self.updates += 1
                if message["data"]["totalVotes"] < self.poll["totalVotes"]:
                    self.faults.append(f"the votes fell from {self.poll['totalVotes']}: {message}")
                self.poll = self.poll | message["data"]
        return self

    async def sees(self, condition, what, seconds=nodes.HANG_SECONDS):
        """Waits until what has arrived meets a condition; the connection must live on."""

        async def met():
            async with self.socket.changed:
                await self.socket.changed.wait_for(lambda: self.socket.closed or condition(self.read()))

        try:
            await limited(met(), seconds)
        except TimeoutError:
            raise AssertionError(f"a subscriber did not see {what}; it is at {self.position}: {self.poll}") from None
        assert not self.socket.closed, f"a subscriber's connection closed with {self.socket.closed}"
        assert not self.faults, self.faults[:5]
