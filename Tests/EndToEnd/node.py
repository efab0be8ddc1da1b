"""A node under test: its own process, port and data folder; started, killed, restarted, and read when it fails."""

import asyncio
import fcntl
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile

import database
import http1
from timing import limited

BINARY = os.environ.get("TUMULTE_BINARY") or str(
    pathlib.Path(__file__).resolve().parents[2] / ".build" / "release" / "tumulte"
)
# Far beyond what a slow machine needs: only a hang reaches these limits.
READY_SECONDS = 120
HANG_SECONDS = 60.0


RESERVATIONS = pathlib.Path(tempfile.gettempdir()) / f"tumulte-ports-{os.getuid()}"
GIVEN_PORTS = []  # the reservations, held open until this process ends


def free_port() -> int:
    """A port that nobody has, given once, to one of the suites that run beside each other. Below the range from which the
    system takes ports of clients: one of those could take it while its node is being restarted."""
    RESERVATIONS.mkdir(exist_ok=True)
    while True:
        port = random.randrange(16000, 32000)
        reservation = open(RESERVATIONS / str(port), "w")
        try:
            fcntl.flock(reservation, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        GIVEN_PORTS.append(reservation)
        return port


async def until(condition, seconds=HANG_SECONDS, what="a condition"):
    """Asks `condition` (sync or async) until it gives something true, and returns that.

    For states of another process that send no event: a port that opens, a counter, a process that ends.
    """
    never = asyncio.Event()
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        try:
            await limited(never.wait(), 0.02)
        except TimeoutError:
            pass


class Node:
    """`async with Node() as node:` gives a ready node; leaving kills it and removes its folder."""

    def __init__(self, data=None, wrapper=(), host="127.0.0.1", **environment):
        self.host = host
        self.port = free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tumulte-test-"))
        self.data = pathlib.Path(data) if data else self.folder / "data"
        self.log = self.folder / "log"
        self.wrapper = list(wrapper)
        self.binary = BINARY
        self.process = None
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TUMULTE_")}
        for name in ("DATABASE_URL", "REDIS_URL"):
            inherited.pop(name, None)
        self.environment = inherited | {
            "TUMULTE_HTTP": f"{host}:{self.port}",
            "TUMULTE_DATA": str(self.data),
            "TUMULTE_NODE_NAME": "test-node",
            "TUMULTE_LOG": "info",
            "TUMULTE_LOG_FORMAT": "json",
        }
        # With TUMULTE_TEST_STORE=postgres every suite runs on a database of its own.
        self.wants_database = os.environ.get("TUMULTE_TEST_STORE") == "postgres" and "DATABASE_URL" not in environment
        self.environment.update({name: str(value) for name, value in environment.items()})

    @property
    def admin_token(self):
        """What admin routes ask for; nothing where they answer their own machine."""
        return self.environment.get("TUMULTE_ADMIN_TOKEN")

    @property
    def base(self):
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def prepare(self):
        """What the process needs before it starts; it takes a while."""
        if self.wants_database:
            self.environment["DATABASE_URL"] = database.create(BINARY)
            self.wants_database = False

    def spawn(self):
        """Starts the process without waiting for it."""
        self.prepare()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, self.binary, "node"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    async def start(self):
        # Beside the loop, on which other tests wait.
        await asyncio.to_thread(self.prepare)
        self.spawn()
        await until(self._ready, READY_SECONDS, "the node to be ready")

    async def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with status {self.process.returncode} instead of serving")
        try:
            return (await http1.request(self, "GET", "/health/ready")).status == 200
        except (OSError, EOFError, asyncio.IncompleteReadError):
            return False

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL, and waits until the process is gone."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    async def ended(self, seconds=HANG_SECONDS):
        """The exit status, once the process has ended by itself."""
        await until(lambda: self.process.poll() is not None, seconds, "the node to end")
        return self.process.returncode

    async def restart(self):
        self.kill()
        await self.start()

    def memory_kib(self, field="VmRSS"):
        """A field of /proc/PID/status in KiB."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise AssertionError(f"/proc has no {field}")

    def log_tail(self, lines=40):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    async def __aenter__(self):
        try:
            await self.start()
        except BaseException:
            self._close(failed=True)
            raise
        return self

    async def __aexit__(self, kind, error, trace):
        self._close(failed=kind is not None)

    def _close(self, failed):
        self.kill()
        if failed:
            print(f"--- the node's log ({self.log}) ---\n{self.log_tail()}\n---", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)


async def command(*arguments, seconds=HANG_SECONDS, **environment):
    """Runs `tumulte ARGUMENTS`; returns (exit status, stdout, stderr)."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TUMULTE_")}
    process = await asyncio.create_subprocess_exec(
        BINARY,
        *arguments,
        env=inherited | {name: str(value) for name, value in environment.items()},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await limited(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        raise AssertionError(f"`tumulte {' '.join(arguments)}` did not end within {seconds} s") from None
    return process.returncode, out.decode(), err.decode()
