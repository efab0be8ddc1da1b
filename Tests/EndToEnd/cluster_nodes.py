"""A cluster under test: nodes on a database and a Redis of its own. Voters and followers come with it."""

import asyncio
import contextlib
import math
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import client
import database
from cluster_following import Follower, ShortPoll, all_see_the_tally, follow, undisturbed  # noqa: F401 (for the suites)
from cluster_voting import Booth, Voting, epochs  # noqa: F401 (for the suites)
from node import BINARY, Node, free_port, until

REDIS_SCRIPT = database.ROOT / "scripts" / "redis.sh"
SECRET = "a secret that every node of this test cluster knows"
CLUSTER_NAME = "end-to-end"


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

    With `own_server` their PostgreSQL is one that nobody else uses, `server`. Nodes are of the build `binary`.
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

    async def replace(self, name, meanwhile):
        """A process of a node's name starts beside it, which then leaves; `meanwhile` is awaited while both are there."""
        old = self.nodes[name]
        try:
            await self.add(name)
            await meanwhile()
            old.signal(signal.SIGTERM)
            status = await old.ended()
            assert status == 0, old.log_tail()
        finally:
            old._close(failed=False)
        await self.settled()

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

    async def mark(self):
        """The place in the log of ownership from which `moved_once` counts."""
        return int((await self.sql("SELECT max(id) FROM ownership_log"))[0])

    async def moved_once(self, mark, count):
        """Since `mark` so many slots have changed hands, each of them once, and none else."""
        rows = await self.sql(f"SELECT slot, count(*) FROM ownership_log WHERE id > {mark} GROUP BY slot")
        again = [row for row in rows if not row.endswith("|1")]
        assert len(rows) == count and not again, f"{len(rows)} slots moved, not {count}; more than once: {again[:5]}"

    async def first_move(self, mark, name):
        """How many seconds after its process took its lease the node `name` got a slot, the first since `mark`. Both
        moments are the database's."""
        (seconds,) = await self.sql(
            "SELECT extract(epoch FROM o.at - n.started) FROM ownership_log o JOIN node_lease n"
            f" ON n.incarnation = o.to_node WHERE o.id > {mark} AND n.name = '{name}' ORDER BY o.id LIMIT 1"
        )
        return float(seconds)

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
