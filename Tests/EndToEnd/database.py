"""PostgreSQL for the tests: databases on the server of the test run, and servers of a test's own that it may hurt."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "postgres.sh"
NUMBERS = itertools.count(1)


def sql(url, text):
    """Runs SQL; returns the first column as text."""
    out = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text], capture_output=True, text=True, timeout=60
    )
    assert out.returncode == 0, f"{text}: {out.stderr}"
    return out.stdout.split("\n")[:-1]


def create(binary, server=None, migrate=True):
    """A new database with the schema in it; its URL."""
    server = server or os.environ["TUMULTE_TEST_POSTGRES"]
    name = f"e2e_{uuid.uuid4().hex}"
    sql(server, f"CREATE DATABASE {name}")
    url = server[: server.rindex("/") + 1] + name
    if migrate:
        done = subprocess.run([binary, "migrate"], env=os.environ | {"DATABASE_URL": url}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return url


class Server:
    """`async with Server() as server:` is a PostgreSQL of the test's own, with `url`; it may be stopped, killed and started.
    `with` serves where no other test waits on the loop meanwhile.

    With `on_bad_disk` its disk can be given trouble: disk_trouble.c tells which.
    """

    def __init__(self, on_bad_disk=False):
        self.on_bad_disk = on_bad_disk
        self.environment = dict(os.environ)

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tumulte-postgres-"))
        self.folder.chmod(0o755)
        if self.on_bad_disk:
            (self.folder / "trouble").mkdir()
            library = self.folder / "disk_trouble.so"
            source = pathlib.Path(__file__).with_name("disk_trouble.c")
            build = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source, "-ldl"]
            subprocess.run(build, check=True, timeout=60)
            self.environment["POSTGRES_PRELOAD"] = str(library)
        self.url = self._script("start").strip()
        return self

    def __exit__(self, *_):
        self.resume()
        subprocess.run([SCRIPT, "kill", self.folder], capture_output=True, timeout=120)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def __aenter__(self):
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *failure):
        await asyncio.to_thread(self.__exit__, *failure)

    def _script(self, command):
        done = subprocess.run(
            [SCRIPT, command, self.folder], env=self.environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def trouble(self, kind):
        """The disk is in trouble for as long as this lasts."""
        mark = self.folder / "trouble" / kind
        mark.touch()
        try:
            yield
        finally:
            mark.unlink()

    def start(self):
        assert self._script("start").strip() == self.url, "the server came back elsewhere"

    def listen_on(self, address, network):
        """From now on the server listens on this address, too, for clients of that network."""
        with open(self.folder / "data" / "pg_hba.conf", "a") as rules:
            rules.write(f"host all all {network} scram-sha-256\n")
        self.stop()
        self.environment["POSTGRES_SETTINGS"] = f"-c listen_addresses=127.0.0.1,{address}"
        self.start()

    def stop(self):
        """As an administrator does: sessions are ended, nothing else is lost."""
        self._script("stop")

    def kill(self):
        """SIGKILL to the postmaster and every one of its processes, as when the machine dies."""
        try:
            dying = self.processes()
        except FileNotFoundError:
            return
        for pid in dying:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        # A server does not start beside one that is not quite dead.
        end = time.monotonic() + 60
        while any(pathlib.Path(f"/proc/{pid}").exists() for pid in dying):
            assert time.monotonic() < end, "a killed server is still there"
            threading.Event().wait(0.01)

    def processes(self):
        """The postmaster and its children."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children")
        try:
            return [postmaster, *map(int, children.read_text().split())]
        except OSError:
            return [postmaster]

    def keep_copy(self):
        """A copy of the data folder of a stopped server."""
        subprocess.run(["cp", "-a", self.folder / "data", self.folder / "copy"], check=True, timeout=120)

    def put_copy_back(self):
        """The data folder as it was when the copy was made: what came since is lost."""
        shutil.rmtree(self.folder / "data")
        (self.folder / "copy").rename(self.folder / "data")

    def freeze(self):
        """The server answers nothing any more, and closes nothing."""
        # Its first process before the others: from then on it makes no new ones.
        os.kill(self.processes()[0], signal.SIGSTOP)
        for pid in self.processes()[1:]:
            os.kill(pid, signal.SIGSTOP)

    def resume(self):
        try:
            for pid in self.processes():
                os.kill(pid, signal.SIGCONT)
        except (OSError, ValueError):
            pass

    def stall_commits(self):
        """Every transaction that has written something waits with its commit, for a standby that does not exist."""
        self._set_standby("TO nobody")

    def release_commits(self):
        self._set_standby("TO DEFAULT")

    def waiting_commits(self):
        """How many commits wait."""
        return int(self.patient("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")[0])

    def patient(self, text, url=None):
        """Runs SQL in a session that does not wait as everybody else does."""
        return sql(f"{url or self.url}?options=-csynchronous_commit%3Doff", text)

    def _set_standby(self, value):
        for text in (f"ALTER SYSTEM SET synchronous_standby_names {value}", "SELECT pg_reload_conf()"):
            self.patient(text)
