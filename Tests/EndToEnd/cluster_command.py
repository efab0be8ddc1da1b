"""`make cluster`: what its script starts, says and leaves behind, with a binary that is already built."""

import asyncio
import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import types
import uuid

import client
import database
import http1
import suite
from node import BINARY, free_port, until
from suite import test, within
from timing import limited

SCRIPT = database.ROOT / "scripts" / "cluster.sh"
SECONDS = 60  # only a hang reaches it


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def ports_from(first):
    return [first + number + links for number in range(3) for links in (0, 100)]


def at_the_terminal():
    """Ctrl-C is heard by what is started here, though a shell that starts a suite in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Started:
    """`async with Started() as cluster:` has run the script until it says that it serves."""

    def __init__(self):
        self.first = next(
            first for first in iter(lambda: random.randrange(16000, 31000), None) if all(map(is_free, ports_from(first)))
        )
        self.mark = f"mark-of-{uuid.uuid4().hex}"
        self.said = []

    async def __aenter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tumulte-make-cluster-"))
        self.folder.chmod(0o755)  # the database's user is let in
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TUMULTE_")}
        self.process = await asyncio.create_subprocess_exec(
            SCRIPT,
            env=inherited | {
                "TUMULTE_BINARY": BINARY, "TUMULTE_PORT": str(self.first), "TMPDIR": str(self.folder),
                "TUMULTE_CLUSTER_FOLDER": str(self.folder / "cluster"), "MARK": self.mark,
            },
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=at_the_terminal,
        )  # fmt: skip
        self.listening = asyncio.create_task(self._listen())
        try:
            await self.says("kill -9")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.process.wait()
        self.listening.cancel()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _listen(self):
        async for line in self.process.stdout:
            self.said.append(line.decode().rstrip("\n"))

    @property
    def words(self):
        return "\n".join(self.said)

    async def says(self, what):
        ended = lambda: self.process.returncode is not None and self.listening.done()  # noqa: E731
        await until(lambda: what in self.words or ended(), SECONDS, f"{what!r} in: {self.words}")
        assert what in self.words, f"ended with {self.process.returncode}: {self.words}"

    def node(self, name):
        """A node as the clients of these tests know one."""
        return types.SimpleNamespace(host="127.0.0.1", port=self.first + "abc".index(name), admin_token=None)

    def processes(self):
        """Whatever lives of the script's session, inherited its environment, or works in its folder; by what it runs."""
        found = {}
        for place in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                session = int((place / "stat").read_text().rsplit(")", 1)[1].split()[3])
                is_ours = session == self.process.pid or self.mark.encode() in (place / "environ").read_bytes()
                is_ours = is_ours or pathlib.Path(os.readlink(place / "cwd")).is_relative_to(self.folder)
                words = (place / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if is_ours and words != [b""]:
                found[int(place.name)] = b" ".join(words).decode(errors="replace")
        return found

    @contextlib.asynccontextmanager
    async def scenario(self):
        """Runs the commands that are printed under `Try it`, as they stand; gives what they print, which grows."""
        lines = self.said[next(i for i, line in enumerate(self.said) if line.startswith("Try it")) :]
        commands = [line for line in lines if line.startswith("  ")]
        assert "kill -9" in commands.pop(), commands
        script = "\n".join(["set -eo pipefail", *commands, 'echo; echo "made $campaign $poll"', "wait"])
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", script, cwd=database.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        printed = []

        async def listen():
            async for line in process.stdout:
                printed.append(line.decode().rstrip("\n"))

        listening = asyncio.create_task(listen())
        try:
            yield printed
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            listening.cancel()

    async def kill_a(self):
        """Runs the last command that is printed."""
        words = next(line for line in self.said if "kill -9" in line)
        done = await asyncio.to_thread(subprocess.run, ["bash", "-c", words], cwd=database.ROOT, timeout=SECONDS)
        assert done.returncode == 0, words


@test
@within(180)
async def a_cluster_starts_with_one_command_and_ends_with_control_c():
    async with Started() as cluster:
        assert f"http://127.0.0.1:{cluster.first}/" in cluster.words, cluster.words
        async with cluster.scenario() as printed:
            await until(lambda: any(line.startswith("made ") for line in printed), SECONDS, "the commands to be done")
            _, campaign, poll = next(line for line in printed if line.startswith("made ")).split()
            # The stream in the background shows the vote that was cast on another node.
            await until(lambda: '"votes":[0,1]' in "".join(printed), SECONDS, f"the vote in {printed}")
            assert any('"status":"counted"' in line for line in printed), printed
        poll = {"campaignId": campaign, "id": poll}
        for name in "abc":
            found = await client.read_poll(cluster.node(name), poll)
            assert found["status"] == "RUNNING" and found["votes"] == [0, 1] and found["type"] == "UNIQUE", found
            assert found["options"] == ["left", "right"], found
        for name in "abc":
            reply = await client.vote(cluster.node(name), poll, option=0, voter=f"of-{name}")
            assert reply.status == 200 and reply.headers["x-tumulte-node"] == name, (reply.headers, reply.body)
        moved = await client.vote(cluster.node("b"), poll, option=0, voter="alice")
        assert moved.data["status"] == "moved", moved.body

        before = (cluster.folder / "cluster" / "a.pid").read_text()
        await cluster.kill_a()

        async def counted(name, voter):
            try:
                return (await client.vote(cluster.node(name), poll, option=1, voter=voter)).status == 200
            except (OSError, EOFError, asyncio.IncompleteReadError):
                return False

        for name in "bc":
            await until(lambda: counted(name, f"late-{name}"), SECONDS, "votes on the nodes that are left")

        async def is_back():
            try:
                return (await http1.request(cluster.node("a"), "GET", "/health/ready")).status == 200
            except (OSError, EOFError, asyncio.IncompleteReadError):
                return False

        await until(is_back, SECONDS, "the killed node to be back")
        assert (cluster.folder / "cluster" / "a.pid").read_text() != before
        for name in "abc":
            assert (await client.read_poll(cluster.node(name), poll))["votes"] == [4, 2]

        running = list(cluster.processes().values())
        for part, count in ((f"{BINARY} node", 3), ("redis-server", 1), ("postgres", 1), ("cluster.sh", 4)):
            assert len([words for words in running if part in words]) >= count, (part, running)
        assert not any(map(is_free, ports_from(cluster.first))), "a port that nobody has"
        # As a terminal does: to the whole group in the foreground.
        os.killpg(cluster.process.pid, signal.SIGINT)
        status = await limited(cluster.process.wait(), SECONDS)
        await limited(cluster.listening, SECONDS)
        assert status == 0, (status, cluster.words)
        assert not cluster.processes(), cluster.processes()
        assert all(map(is_free, ports_from(cluster.first))), "a port is still taken"
        for name in "abc":
            assert "node.stopped" in (cluster.folder / "cluster" / f"{name}.log").read_text(), name


@test
@within(60)
async def a_port_that_is_taken_is_named_with_what_to_do():
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = await asyncio.to_thread(
            subprocess.run, [SCRIPT], env=os.environ | {"TUMULTE_BINARY": BINARY, "TUMULTE_PORT": str(port - 100)},
            capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 1 and f"127.0.0.1:{port} is taken" in done.stderr, (done.returncode, done.stderr)
        assert "TUMULTE_PORT=" in done.stderr, done.stderr


if __name__ == "__main__":
    arguments = suite.parser("cluster command").parse_args()
    suite.run(arguments.only, parallel=2)
