"""Clients of a node: a WebSocket (JSON or binary) that matches replies to requests and keeps the rest, an SSE reader, tokens."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time

import binary
import http1
from node import until
from timing import limited
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException  # noqa: F401 (for the suites)

REPLY_SECONDS = 60  # only a hang reaches it


class Socket:
    """A WebSocket in the subprotocol that was agreed. Replies go to their requests; everything else waits in `inbox`, in order."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.is_binary = websocket.subprotocol == "tumulte.v1.binary"
        self.inbox = []
        self.changed = asyncio.Condition()
        self.waiting = {}
        self.next_id = 0
        self.closed = None  # (code, reason) once closed
        self.reader = asyncio.create_task(self._read())

    async def _read(self):
        try:
            async for data in self.websocket:
                message = self.decode(data)
                future = self.waiting.pop(message.get("id"), None) if "id" in message else None
                if future and not future.done():
                    future.set_result(message)
                else:
                    async with self.changed:
                        self.inbox.append(message)
                        self.changed.notify_all()
        except ConnectionClosed:
            pass
        finally:
            close = self.websocket.close_code, self.websocket.close_reason
            async with self.changed:
                self.closed = close
                for future in self.waiting.values():
                    if not future.done():
                        future.set_exception(ConnectionError(f"closed with {close}"))
                        future.exception()  # the one who waits may be gone
                self.changed.notify_all()

    def encode(self, message):
        return binary.encode(message, json.dumps) if self.is_binary else json.dumps(message)

    def decode(self, data):
        assert isinstance(data, bytes) == self.is_binary, "a message in the other encoding"
        return binary.decode(data, json.loads) if self.is_binary else json.loads(data)

    def post(self, **message):
        """Sends with a fresh id; returns the future of its reply."""
        self.next_id += 1
        message = {"id": self.next_id} | message
        future = asyncio.get_running_loop().create_future()
        if self.closed:
            future.set_exception(ConnectionError(f"closed with {self.closed}"))
            future.exception()
            return future
        self.waiting[message["id"]] = future
        self.sending = asyncio.ensure_future(self._send(self.encode(message), future))
        return future

    async def _send(self, text, future):
        try:
            await self.websocket.send(text)
        except ConnectionClosed:
            if not future.done():
                future.set_exception(ConnectionError("closed while sending"))
                future.exception()

    async def ask(self, **message):
        """Sends and awaits the reply."""
        return await limited(self.post(**message), REPLY_SECONDS)

    async def send_raw(self, data):
        await self.websocket.send(data)

    async def take(self, matches=lambda message: True, seconds=REPLY_SECONDS, what="a message"):
        """Removes and returns the first message of the inbox that matches, awaiting it where necessary."""

        def find():
            return next((i for i, message in enumerate(self.inbox) if matches(message)), None)

        async with self.changed:
            try:
                await limited(
                    self.changed.wait_for(lambda: find() is not None or self.closed is not None), seconds
                )
            except TimeoutError:
                raise AssertionError(f"no {what} within {seconds} s; the inbox holds {self.inbox[-5:]}") from None
            index = find()
            if index is None:
                raise AssertionError(f"the connection closed with {self.closed} before {what}")
            return self.inbox.pop(index)

    async def event(self, name, seconds=REPLY_SECONDS, where=lambda data: True):
        return await self.take(
            lambda m: m.get("op") == "event" and m["event"] == name and where(m["data"]), seconds, f"event {name}"
        )

    async def op(self, name, seconds=REPLY_SECONDS):
        return await self.take(lambda m: m.get("op") == name, seconds, f"op {name}")

    async def close_code(self, seconds=REPLY_SECONDS):
        """The code with which the connection closed, once it has."""
        try:
            await limited(asyncio.shield(self.reader), seconds)
        except TimeoutError:
            raise AssertionError(f"the connection was not closed within {seconds} s") from None
        return self.closed[0]

    async def subscribe(self, campaign, after=None):
        message = {"op": "subscribe", "campaign": campaign}
        if after:
            message["after"] = after
        return await self.ask(**message)

    async def vote(self, poll, option, **more):
        return await self.ask(op="vote", campaign=poll["campaignId"], poll=poll["id"], option=option, **more)

    async def close(self):
        with contextlib.suppress(Exception):
            await self.websocket.close()
        await asyncio.wait([self.reader], timeout=20)
        self.reader.cancel()


@contextlib.asynccontextmanager
async def websocket(node, token=None, query="", **options):
    """A connected `Socket`."""
    options.setdefault("subprotocols", ["tumulte.v1.json"])
    options.setdefault("compression", None)
    if token:
        options["additional_headers"] = {"Authorization": f"Bearer {token}"} | options.get("additional_headers", {})
    async with connect(
        f"ws://{node.host}:{node.port}/v1/ws{query}", open_timeout=60, close_timeout=20, ping_interval=None, proxy=None, **options
    ) as connection:
        socket = Socket(connection)
        try:
            yield socket
        finally:
            await socket.close()


class Events:
    """A Server-Sent Events stream: `await stream.next()` gives (name, data, id)."""

    def __init__(self, connection, chunked):
        self.connection = connection
        self.chunked = chunked
        self.buffer = b""

    async def _more(self):
        reader = self.connection.reader
        if not self.chunked:
            data = await reader.read(65536)
        else:
            line = await reader.readline()
            size = int(line.split(b";")[0], 16) if line.strip() else 0
            data = await reader.readexactly(size)
            await reader.readline()
        if not data:
            raise EOFError("the stream ended")
        self.buffer += data.replace(b"\r\n", b"\n")

    async def _block(self):
        while b"\n\n" not in self.buffer:
            await self._more()
        block, _, self.buffer = self.buffer.partition(b"\n\n")
        return block.decode()

    async def next(self, seconds=REPLY_SECONDS):
        async def read():
            while True:
                fields = {}
                for line in (await self._block()).split("\n"):
                    if line and not line.startswith(":"):
                        name, _, value = line.partition(":")
                        value = value.removeprefix(" ")
                        fields[name] = f"{fields[name]}\n{value}" if name in fields else value
                if "data" in fields:
                    return fields.get("event", "message"), json.loads(fields["data"]), fields.get("id")

        return await limited(read(), seconds)

    async def until(self, name, seconds=REPLY_SECONDS):
        while True:
            event = await self.next(seconds)
            if event[0] == name:
                return event


@contextlib.asynccontextmanager
async def event_stream(node, campaign, last=None, token=None, query=""):
    headers = {"Accept": "text/event-stream"}
    if last:
        headers["Last-Event-ID"] = last
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with http1.Connection(node) as connection:
        await connection.send(http1.encode("GET", f"/v1/campaigns/{campaign}/events{query}", node, headers))
        status, fields, _ = await connection.head()
        assert status == 200, f"the stream answered {status}"
        assert fields["content-type"].startswith("text/event-stream"), fields
        yield Events(connection, "chunked" in fields.get("transfer-encoding", ""))


def token(secret, sub="alice", role="voter", expires_in=3600.0, algorithm="HS256", **claims):
    """A client token; claims given as None are left out."""

    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    payload = {"sub": sub, "role": role, "exp": int(time.time() + expires_in)} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    head = encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    signed = head + b"." + encode(json.dumps(payload).encode())
    if algorithm == "none":
        return (signed + b".").decode()
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[algorithm]
    return (signed + b"." + encode(hmac.new(secret.encode(), signed, digest).digest())).decode()


async def campaign(node, name="The lost mine", token=None, **more):
    """A new campaign."""
    reply = await http1.request(node, "POST", "/v1/campaigns", {"name": name} | more, token=token)
    assert reply.status == 201, (reply.status, reply.body)
    return reply.data


async def poll(node, of, token=None, **more):
    """A new poll of the campaign `of`."""
    body = {"question": "Left or right?", "options": ["left", "right", "back"], "durationSeconds": 600} | more
    reply = await http1.request(node, "POST", f"/v1/campaigns/{of['id']}/polls", body, token=token)
    assert reply.status == 201, (reply.status, reply.body)
    return reply.data


async def read_poll(node, poll, token=None):
    reply = await http1.request(node, "GET", f"/v1/campaigns/{poll['campaignId']}/polls/{poll['id']}", token=token)
    assert reply.status == 200, (reply.status, reply.body)
    return reply.data


async def cancel(node, poll, token=None):
    path = f"/v1/campaigns/{poll['campaignId']}/polls/{poll['id']}/cancel"
    return await http1.request(node, "POST", path, {}, token=token)


async def vote(node, poll, json=None, token=None, headers=None, **fields):
    """A vote over HTTP; returns the response."""
    path = f"/v1/campaigns/{poll['campaignId']}/polls/{poll['id']}/votes"
    return await http1.request(node, "POST", path, fields if json is None else json, token=token, headers=headers)


async def verify(node, campaign_id):
    """The verdict of `verify`. A snapshot that overtakes the replay makes it `unavailable`: then it is asked again."""

    async def verdict():
        reply = await http1.request(node, "POST", f"/admin/campaigns/{campaign_id}/verify", {}, token=node.admin_token)
        assert reply.status in (200, 503), (reply.status, reply.body)
        return reply.data if reply.status == 200 else None

    return await until(verdict, what="a verification that no snapshot overtakes")


def position(message):
    return message["epoch"], message["seq"]
