"""What the tests share: the list of tests, the server under test, and a few looks at a page.

The pages are tested against the real binary. Without one (`--stand-in`) they run against the stand-in node, so that
work on the pages needs no build.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid

from fakenode import FakeNode

TESTS: list[tuple[str, object]] = []


def test(function):
    """Registers a test; its name, read as a sentence, is what the report shows."""
    TESTS.append((function.__name__.replace("_", " "), function))
    return function


def equal(found, wanted, what="") -> None:
    if found != wanted:
        raise AssertionError(f"{what or 'value'}: wanted {wanted!r}, found {found!r}")


def true(condition, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def no_problems(page, *allowed: str) -> None:
    """Fails on any console error, exception or breach of the policy, but for those that match."""
    rest = [one for one in page.problems if not any(re.search(pattern, one) for pattern in allowed)]
    equal(rest, [], "what the console said")


# A page whose node was killed says so in its console; that is Chromium's own line.
LOST = r"WebSocket connection to .* failed|net::ERR_(CONNECTION|EMPTY|SOCKET)"


def free_port() -> int:
    """A port that nobody has. Below the range from which the system takes ports of clients: one of those could take it
    while the node is started again, or a client that tries to reach the dead node could meet itself."""
    while True:
        port = random.randrange(16000, 32000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def token(secret: str, subject: str, role: str, seconds: int = 600) -> str:
    """A client token: HS256, as any trusted backend would make it."""
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")  # noqa: E731
    claims = {"sub": subject, "role": role, "exp": int(time.time()) + seconds}
    head = encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + encode(json.dumps(claims).encode())
    return (head + b"." + encode(hmac.new(secret.encode(), head, hashlib.sha256).digest())).decode()


class Server:
    """The node under test, and the few HTTP calls with which a test prepares its scene."""

    url: str
    token: str | None = None

    async def api(self, method: str, path: str, body: dict | None = None):
        def send():
            headers = {"content-type": "application/json"}
            if self.token:
                headers["authorization"] = f"Bearer {self.token}"
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(self.url + path, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)["data"]
        return await asyncio.to_thread(send)

    async def campaign(self, name="The Sunken Crown") -> str:
        return (await self.api("POST", "/v1/campaigns", {"name": name}))["id"]

    async def launch(self, campaign: str, question="Which way?", options=("Left", "Right"), seconds=600,
                     kind="UNIQUE") -> str:
        poll = await self.api("POST", f"/v1/campaigns/{campaign}/polls", {
            "question": question, "options": list(options), "durationSeconds": seconds, "type": kind})
        return poll["id"]

    async def vote(self, campaign: str, poll: str, option: int, voter: str | None = None, channel: str | None = None):
        body = {"option": option, "voter": voter or uuid.uuid4().hex}
        if channel:
            body["channel"] = channel
        return await self.api("POST", f"/v1/campaigns/{campaign}/polls/{poll}/votes", body)

    async def cancel(self, campaign: str, poll: str):
        return await self.api("POST", f"/v1/campaigns/{campaign}/polls/{poll}/cancel", {})

    async def headers(self, path: str) -> tuple[int, dict, bytes]:
        def get():
            try:
                with urllib.request.urlopen(self.url + path, timeout=60) as reply:
                    return reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.read()
            except urllib.error.HTTPError as error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()
        return await asyncio.to_thread(get)


class RealServer(Server):
    def __init__(self, binary: str, **environment: str):
        self.binary, self.environment = binary, environment
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = tempfile.mkdtemp(prefix="tumulte-data-")
        self.process: subprocess.Popen | None = None

    async def start(self) -> "RealServer":
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TUMULTE_")}
        clean = {k: v for k, v in clean.items() if k not in ("DATABASE_URL", "REDIS_URL")}
        self.log = open(os.path.join(self.folder, "node.log"), "ab")
        self.process = subprocess.Popen(
            [self.binary, "node"], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            env={**clean, "TUMULTE_HTTP": f"127.0.0.1:{self.port}", "TUMULTE_DATA": os.path.join(self.folder, "data"),
                 **self.environment})
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if (await self.headers("/health/ready"))[0] == 200:
                    return self
            except OSError:
                pass
            await asyncio.sleep(0.05)
        with open(self.log.name, encoding="utf-8", errors="replace") as log:
            raise SystemExit(f"the node did not become ready:\n{log.read()[-2000:]}")

    async def kill(self) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.wait)
        self.log.close()

    async def stop(self) -> None:
        if self.process and self.process.poll() is None:
            await self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class StandIn(Server):
    async def start(self) -> "StandIn":
        if not hasattr(self, "node"):
            self.node = await FakeNode().start()
        else:
            self.node.epoch += 1
            self.node.seq = 0
            await self.node.start(self.node.port)
        self.url = self.node.url
        return self

    async def kill(self) -> None:
        await self.node.stop()

    async def stop(self) -> None:
        await self.node.stop()
