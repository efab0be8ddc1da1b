"""The disk fails: locked, full, read-only. Commands get `unavailable`, nothing acknowledged is lost, service returns."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile

import client
import http1
import suite
from node import Node, free_port, command, until
from suite import test

REFUSED = {"unavailable", "timeout", "overloaded"}


def database_of(node):
    """The journal's file: the one that says that it is a SQLite database."""
    for path in sorted(node.data.rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                if file.read(15) == b"SQLite format 3":
                    return path
    raise AssertionError(f"no SQLite database in {list(node.data.rglob('*'))}")


async def reply_code(node, poll, key):
    """Votes with a key; returns None for an ack, else the error's code."""
    reply = await client.vote(node, poll, option=1, key=key)
    if reply.status == 200:
        return None
    assert reply.status in (503, 504), (reply.status, reply.body)
    if reply.status == 503:
        assert int(reply.headers["retry-after"]) >= 0, reply.headers
    return reply.code


async def serves_again(node, poll, key):
    await until(lambda: served(node, poll, key), what="votes to be accepted again")


async def served(node, poll, key):
    return await reply_code(node, poll, key) is None


async def tally_is(node, poll, keys):
    final = await client.read_poll(node, poll)
    assert final["totalVotes"] == len(keys), (final["totalVotes"], len(keys))
    await node.restart()
    final = await client.read_poll(node, poll)
    assert final["totalVotes"] == len(keys), ("after a restart", final["totalVotes"], len(keys))


async def settle_unknown(node, poll, acked, unknown):
    """Sends again what was left unknown; afterwards each of them counts once."""
    for key in sorted(unknown):
        assert await reply_code(node, poll, key) is None, key
        acked.add(key)


@test
async def a_locked_database_makes_votes_wait_or_fail_and_none_is_lost():
    async with Node() as node:
        poll = await client.poll(node, await client.campaign(node), type="STANDARD")
        acked, unknown = set(), set()
        for i in range(20):
            assert await reply_code(node, poll, f"before-{i}") is None
            acked.add(f"before-{i}")
        intruder = sqlite3.connect(database_of(node), isolation_level=None, timeout=2)
        try:
            intruder.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            suite.skip(f"the node holds its database so firmly that nobody else can lock it ({error})")
        keys = [f"during-{i}" for i in range(20)]
        codes = await asyncio.gather(*(reply_code(node, poll, key) for key in keys))
        assert all(code in REFUSED for code in codes), codes
        unknown.update(key for key, code in zip(keys, codes) if code == "timeout")
        assert (await http1.request(node, "GET", "/health/live")).status == 200
        assert (await client.read_poll(node, poll))["totalVotes"] == 20, "nothing uncommitted is shown"
        intruder.execute("ROLLBACK")
        intruder.close()
        await serves_again(node, poll, "after")
        acked.add("after")
        await settle_unknown(node, poll, acked, unknown)
        await tally_is(node, poll, acked)


class SmallDisk:
    """A folder on a small file system of its own; needs the right to mount."""

    def __init__(self, kib):
        self.kib = kib

    def __enter__(self):
        sudo = ["sudo", "-n"] if os.geteuid() != 0 else []
        if sudo and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode:
            suite.skip("a small file system can be mounted by root, or with sudo without a password")
        self.sudo = sudo
        self.path = tempfile.mkdtemp(prefix="tumulte-disk-")
        mounted = subprocess.run(
            [*sudo, "mount", "-t", "tmpfs", "-o", f"size={self.kib}k,uid={os.getuid()}", "tmpfs", self.path],
            capture_output=True, text=True,
        )
        if mounted.returncode:
            os.rmdir(self.path)
            suite.skip(f"this machine does not allow to mount a small file system: {mounted.stderr.strip()}")
        return self

    def remount(self, mode):
        subprocess.run([*self.sudo, "mount", "-o", f"remount,{mode}", self.path], check=True, capture_output=True)

    def fill(self):
        """Writes a file until nothing fits any more; returns its path."""
        ballast = os.path.join(self.path, "ballast")
        with open(ballast, "wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
        return ballast

    def __exit__(self, *_):
        subprocess.run([*self.sudo, "umount", "-l", self.path], check=False)
        os.rmdir(self.path)


@test
async def a_full_disk_refuses_votes_until_there_is_room():
    with SmallDisk(24 * 1024) as disk:
        async with Node(data=os.path.join(disk.path, "data")) as node:
            poll = await client.poll(node, await client.campaign(node), type="STANDARD")
            acked, unknown = set(), set()
            for i in range(20):
                assert await reply_code(node, poll, f"before-{i}") is None
                acked.add(f"before-{i}")
            ballast = disk.fill()
            refusals = 0
            for i in range(2000):
                key = f"full-{i}-" + "x" * 40
                code = await reply_code(node, poll, key)
                if code is None:
                    acked.add(key)  # room that was reserved before
                    continue
                assert code in REFUSED, code
                if code == "timeout":
                    unknown.add(key)
                refusals += 1
                if refusals == 5:
                    break
            assert refusals == 5, "the disk never was full for the node"
            assert (await http1.request(node, "GET", "/health/live")).status == 200
            reads = await client.read_poll(node, poll)
            assert reads["totalVotes"] >= len(acked), "reads go on"
            os.remove(ballast)
            await serves_again(node, poll, "after")
            acked.add("after")
            await settle_unknown(node, poll, acked, unknown)
            await tally_is(node, poll, acked)


@test
async def a_read_only_folder_stops_the_start_with_a_reason():
    with SmallDisk(8 * 1024) as disk:
        disk.remount("ro")
        variables = {"TUMULTE_HTTP": f"127.0.0.1:{free_port()}", "TUMULTE_DATA": os.path.join(disk.path, "data")}
        status, _, err = await command("node", **variables)
        assert status not in (0, 2) and "read-only" in err.lower(), (status, err)
        disk.remount("rw")
        async with Node(data=os.path.join(disk.path, "data")) as node:
            await client.campaign(node)


@test
async def a_full_disk_at_the_start_is_told_or_survived():
    with SmallDisk(8 * 1024) as disk:
        data = os.path.join(disk.path, "data")
        async with Node(data=data) as node:
            poll = await client.poll(node, await client.campaign(node), type="STANDARD")
            assert await reply_code(node, poll, "one") is None
            node.kill()
            ballast = disk.fill()
            node.spawn()

            async def ended_or_serves():
                if node.process.poll() is not None:
                    return True
                try:
                    return (await http1.request(node, "GET", "/health/live")).status == 200
                except (OSError, EOFError):
                    return False

            await until(ended_or_serves, what="the node to serve or to say why not")
            if node.process.poll() is not None:
                assert node.process.returncode != 0 and node.log_tail(1), "it says why"
            os.remove(ballast)
            await node.restart()
            assert (await client.read_poll(node, poll))["totalVotes"] == 1


if __name__ == "__main__":
    suite.run(suite.parser("disk").parse_args().only, parallel=2)
