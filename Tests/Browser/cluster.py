"""Several nodes for the pages: real processes on a database and a Redis of the test run, or of their own."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import uuid

from harness import RealServer, free_port

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
SECRET = "a secret that every node of this test cluster knows"
# Each cluster has a Redis database of its own: the placement table is one key.
NUMBERS = itertools.count(1)


def run(*words, **environment) -> str:
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, timeout=180)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]}: {done.stderr[-2000:]}")
    return done.stdout


@contextlib.contextmanager
def store(name: str):
    """The URL of the run's PostgreSQL or Redis; where there is none, one is started for as long as this lasts."""
    if url := os.environ.get(f"TUMULTE_TEST_{name.upper()}"):
        yield url
        return
    folder = tempfile.mkdtemp(prefix=f"tumulte-{name}-")
    os.chmod(folder, 0o755)
    script = str(SCRIPTS / f"{name}.sh")
    try:
        yield run(script, "start", folder).split("\n")[-2]
    finally:
        subprocess.run([script, "kill", folder], capture_output=True, timeout=120)
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """`async with Cluster(binary) as cluster:` gives ready nodes `a`, `b` and `c`, or those that are named."""

    def __init__(self, binary: str, names: str = "abc", **environment: str):
        self.binary, self.names, self.environment = binary, names, environment
        self.nodes: dict[str, RealServer] = {}

    async def __aenter__(self) -> "Cluster":
        self.stack = contextlib.ExitStack()
        try:
            server = self.stack.enter_context(store("postgres"))
            redis = self.stack.enter_context(store("redis"))
            name = f"browser_{uuid.uuid4().hex}"
            run("psql", "-XAtq", "-d", server, "-c", f"CREATE DATABASE {name}")
            database = server[: server.rindex("/") + 1] + name
            run(self.binary, "migrate", DATABASE_URL=database)
            table = redis[: redis.rindex("/") + 1] + str(next(NUMBERS))
            run("redis-cli", "-u", table, "--no-auth-warning", "FLUSHDB")
            for node in self.names:
                links = f"127.0.0.1:{free_port()}"
                self.nodes[node] = RealServer(
                    self.binary, DATABASE_URL=database, REDIS_URL=table, TUMULTE_NODE_NAME=node, TUMULTE_CLUSTER=links,
                    TUMULTE_ADVERTISE=links, TUMULTE_CLUSTER_SECRET=SECRET, TUMULTE_LOOPS="2", **self.environment)
            await asyncio.gather(*(node.start() for node in self.nodes.values()))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        for node in self.nodes.values():
            self.signal(node, signal.SIGCONT)
            await node.stop()
        self.stack.close()

    def __getitem__(self, name: str) -> RealServer:
        return self.nodes[name]

    @staticmethod
    def signal(node: RealServer, number: int) -> None:
        if node.process and node.process.poll() is None:
            node.process.send_signal(number)

    async def placement(self, name: str, token: str | None = None) -> dict:
        self.nodes[name].token = token
        return await self.nodes[name].api("GET", "/admin/placement?owners=1")

    async def calm(self, name: str, token: str | None = None) -> dict:
        """Waits until every node answers, each has its share and nothing is on its way; the placement then."""
        async with asyncio.timeout(120):
            while True:
                found = await self.placement(name, token)
                members = [node for node in found["nodes"] if node["state"] == "live"]
                if (not found["moves"] and all(node["answered"] and node["slots"] for node in members)
                        and sum(node["slots"] for node in members) == 4096 and len(members) == len(self.names)):
                    return found
                await asyncio.sleep(0.05)
