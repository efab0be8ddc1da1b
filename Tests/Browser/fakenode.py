"""A stand-in for a node, for faults that a real one would not commit on demand.

It serves the pages from the source tree and speaks enough of the protocol for the client: hello, subscribe, vote,
ping, polls over HTTP. A test drives it in the same event loop: it drops connections, swallows replies, greets late,
closes with any code, sends what is out of order, and reads everything that the clients sent.
"""

import asyncio
import base64
import hashlib
import json
import pathlib
import struct
import time
import uuid
from datetime import datetime, timezone

ASSETS = pathlib.Path(__file__).resolve().parents[2] / "Sources/Node/Pages/Assets"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)


def uuid7() -> str:
    bits = (int(time.time() * 1000) << 80) | (uuid.uuid4().int & ((1 << 80) - 1))
    bits = bits & ~(0xF << 76) | (7 << 76)
    bits = bits & ~(0b11 << 62) | (0b10 << 62)
    return str(uuid.UUID(int=bits))


def stamp(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class Connection:
    """One WebSocket, as the fake sees it."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.received: list[dict] = []
        self.subscriptions: set[str] = set()
        self.opened = time.monotonic()
        self.alive = True

    def send(self, message: dict) -> None:
        if not self.alive:
            return
        body = json.dumps(message).encode()
        size = len(body)
        head = bytes([0x81, size]) if size < 126 else bytes([0x81, 126]) + struct.pack(">H", size)
        self.writer.write(head + body)

    def close(self, code: int, reason: str = "") -> None:
        """Closes politely, with a code."""
        if not self.alive:
            return
        body = struct.pack(">H", code) + reason.encode()
        self.writer.write(bytes([0x88, len(body)]) + body)
        self.alive = False
        asyncio.get_running_loop().call_later(0.2, self.writer.close)

    def drop(self) -> None:
        """Breaks the connection, as a crash does."""
        self.alive = False
        self.writer.transport.abort()

    async def frame(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self.reader.readexactly(8))
        mask = await self.reader.readexactly(4)
        body = await self.reader.readexactly(size)
        return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))


class FakeNode:
    def __init__(self):
        self.connections: list[Connection] = []
        self.campaigns: dict[str, dict] = {}
        self.epoch = int(time.time())
        self.seq = 0
        self.keys: dict[tuple, dict] = {}
        self.choices: dict[tuple, int] = {}
        self.voted: list[dict] = []
        self.clock_ahead = 0.0
        # Faults, each a plain switch.
        self.mute_votes = 0  # this many votes are counted, and their answer is lost with the connection
        self.silent = False  # nothing is answered any more
        self.refuse_hello: tuple[int, str] | None = None  # close with this instead of greeting
        self.held_hellos: list | None = None  # greetings wait here until `release` where this is a list
        self.subscribe_errors: list[dict] = []  # answered one by one instead of `subscribed`
        self.http_faults: list[int] = []  # answered one by one instead of the reply; 0 breaks the connection
        self.requests: list[tuple[str, str, dict]] = []
        self.vote_error: dict | None = None  # answered once instead of a vote's ack
        self.extra: dict[str, tuple[str, str]] = {"/blank": ("text/html", "<link rel=icon href=/favicon.svg>")}
        self.server = None
        self.port = 0

    async def start(self, port: int = 0):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        self.server.close()
        for connection in self.connections:
            connection.drop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def live(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.alive]

    # The domain, as little of it as the client can tell

    def campaign(self, name="A campaign") -> str:
        one = uuid7()
        self.campaigns[one] = {"id": one, "ownerId": None, "name": name, "description": None,
                               "createdAt": stamp(time.time()), "runningPoll": None, "polls": []}
        return one

    def launch(self, campaign: str, question="Which way?", options=("Left", "Right"), seconds=60, kind="UNIQUE"):
        now = time.time() + self.clock_ahead
        self.seq += 1
        poll = {"id": uuid7(), "campaignId": campaign, "question": question, "options": list(options), "type": kind,
                "durationSeconds": seconds, "status": "RUNNING", "startedAt": stamp(now),
                "endsAt": stamp(now + seconds), "endedAt": None, "totalVotes": 0, "votes": [0] * len(options), "percentages": [0] * len(options),
                "winners": [], "channels": [], "epoch": self.epoch, "seq": self.seq}
        self.campaigns[campaign]["polls"].insert(0, poll)
        self.campaigns[campaign]["runningPoll"] = poll["id"]
        self.emit(campaign, "poll:start", poll)
        return poll

    def end(self, campaign: str, status="ENDED"):
        poll = self.campaigns[campaign]["polls"][0]
        self.seq += 1
        best = max(poll["votes"])
        poll.update(status=status, endedAt=stamp(time.time() + self.clock_ahead), epoch=self.epoch, seq=self.seq,
                    winners=[i for i, count in enumerate(poll["votes"]) if best and count == best])
        self.campaigns[campaign]["runningPoll"] = None
        self.emit(campaign, "poll:end", poll)
        return poll

    def add_votes(self, campaign: str, votes: list[int], channel: str | None = None, quiet=False):
        poll = self.campaigns[campaign]["polls"][0]
        self.seq += 1
        poll["votes"] = [old + new for old, new in zip(poll["votes"], votes)]
        poll["totalVotes"] = total = sum(poll["votes"])
        poll["percentages"] = [round(1000 * count / total) / 10 if total else 0 for count in poll["votes"]]
        if channel:
            entry = next((one for one in poll["channels"] if one["channel"] == channel), None)
            if entry is None:
                entry = {"channel": channel, "totalVotes": 0, "votes": [0] * len(votes)}
                poll["channels"].append(entry)
            entry["votes"] = [old + new for old, new in zip(entry["votes"], votes)]
            entry["totalVotes"] = sum(entry["votes"])
        poll.update(epoch=self.epoch, seq=self.seq)
        if not quiet:
            self.emit(campaign, "poll:update", self.tally(poll))

    @staticmethod
    def tally(poll: dict) -> dict:
        return {name: poll[name] for name in ("id", "totalVotes", "votes", "percentages", "channels")}

    def emit(self, campaign: str, event: str, data, position=None) -> None:
        epoch, seq = position or (self.epoch, self.seq)
        for connection in self.live:
            if campaign in connection.subscriptions:
                connection.send({"op": "event", "campaign": campaign, "epoch": epoch, "seq": seq,
                                 "at": stamp(time.time()), "event": event, "data": data})

    # WebSocket

    def _subscribe(self, connection: Connection, campaign: str, after, answer_id=None) -> None:
        reply = {"id": answer_id} if answer_id is not None else {}
        if campaign not in self.campaigns:
            connection.send({"op": "error", **reply, "code": "not_found", "message": "no such campaign",
                             "campaign": campaign})
            return
        if self.subscribe_errors:
            connection.send({"op": "error", **reply, "campaign": campaign, **self.subscribe_errors.pop(0)})
            return
        connection.subscriptions.add(campaign)
        same = after == {"epoch": self.epoch, "seq": self.seq}
        polls = self.campaigns[campaign]["polls"]
        body = {} if same else {"poll": polls[0] if polls else None}
        connection.send({"op": "subscribed", **reply, "campaign": campaign, "epoch": self.epoch, "seq": self.seq,
                         "recovered": same, **body})

    def _vote(self, connection: Connection, message: dict) -> None:
        answer = {"op": "ack", "id": message["id"], "epoch": self.epoch, "seq": self.seq}
        if self.vote_error:
            connection.send({"op": "error", "id": message["id"], **self.vote_error})
            self.vote_error = None
            return
        poll = self.campaigns[message["campaign"]]["polls"][0]
        if poll["status"] != "RUNNING":
            connection.send({"op": "error", "id": message["id"], "code": "poll_closed", "message": "The poll is over."})
            return
        voter, key, option = message.get("voter"), message.get("key"), message["option"]
        self.voted.append(message)
        if key and (voter, key) in self.keys:
            answer["status"] = "duplicate"
        elif poll["type"] == "UNIQUE" and (poll["id"], voter) in self.choices:
            old = self.choices[(poll["id"], voter)]
            answer["status"] = "same" if old == option else "moved"
            change = [0] * len(poll["options"])
            change[old] -= 1
            change[option] += 1
            self.choices[(poll["id"], voter)] = option
            self.add_votes(message["campaign"], change, message.get("channel"))
        else:
            answer["status"] = "counted"
            self.choices[(poll["id"], voter)] = option
            change = [int(index == option) for index in range(len(poll["options"]))]
            self.add_votes(message["campaign"], change, message.get("channel"))
        self.keys[(voter, key)] = answer
        answer.update(epoch=self.epoch, seq=self.seq)
        if self.mute_votes > 0:
            self.mute_votes -= 1
            if self.mute_votes == 0:
                connection.drop()
            return
        connection.send(answer)

    def release(self) -> None:
        held, self.held_hellos = self.held_hellos, None
        for connection, message in held:
            connection.received.remove(message)
            self._receive(connection, message)

    def _receive(self, connection: Connection, message: dict) -> None:
        connection.received.append(message)
        if self.silent:
            return
        match message["op"]:
            case "hello" if self.held_hellos is not None:
                self.held_hellos.append((connection, message))
            case "hello":
                if self.refuse_hello:
                    connection.close(*self.refuse_hello)
                    return
                connection.send({"op": "hello", "id": message["id"], "node": "fake", "voter": message.get("voter"),
                                 "role": "service", "time": stamp(time.time() + self.clock_ahead), "pingMs": 25000,
                                 "maxMessageBytes": 65536, "jitterMs": 500})
                for one in message.get("subscriptions", []):
                    self._subscribe(connection, one["campaign"], one.get("after"))
            case "subscribe":
                self._subscribe(connection, message["campaign"], message.get("after"), message["id"])
            case "unsubscribe":
                connection.subscriptions.discard(message["campaign"])
                connection.send({"op": "unsubscribed", "id": message["id"], "campaign": message["campaign"]})
            case "vote":
                self._vote(connection, message)
            case "signal":
                self.seq += 1
                self.emit(message["campaign"], "signal", {"name": message["name"], "data": message["data"]})
                connection.send({"op": "ack", "id": message["id"], "epoch": self.epoch, "seq": self.seq})
            case "ping":
                connection.send({"op": "pong", "id": message["id"]})

    async def _websocket(self, reader, writer, headers: dict) -> None:
        accept = hashlib.sha1((headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Protocol: tumulte.v1.json\r\n"
                     b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n")
        connection = Connection(reader, writer)
        self.connections.append(connection)
        try:
            while connection.alive:
                opcode, body = await connection.frame()
                if opcode == 1:
                    self._receive(connection, json.loads(body))
                elif opcode == 8:
                    if connection.alive:
                        connection.close(1000)
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            connection.alive = False

    # HTTP

    async def _serve(self, reader, writer) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if headers.get("upgrade") == "websocket":
                    await self._websocket(reader, writer, headers)
                    return
                if path.startswith("/v1/"):
                    self.requests.append((method, path, headers))
                    if self.http_faults:
                        fault = self.http_faults.pop(0)
                        if fault == 0:
                            return
                        text = json.dumps({"error": {"code": "unavailable", "message": "Later.", "requestId": "r1"}})
                        writer.write(f"HTTP/1.1 {fault} X\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
                        continue
                status, kind, answer = self._http(method, path.partition("?")[0], body)
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(answer)}\r\n"
                             f"Content-Security-Policy: {POLICY}\r\n\r\n".encode() + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _http(self, method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        name = "/console.html" if path == "/" else "/overlay.html" if path.startswith("/overlay/") else path
        file = ASSETS / name[1:]
        if file.is_file():
            return 200, TYPES[file.suffix] + "; charset=utf-8", file.read_bytes()

        if path in self.extra:
            kind, text = self.extra[path]
            return 200, kind, text.encode()

        def reply(status, data=None, error=None):
            text = json.dumps({"data": data} if error is None else {"error": error})
            return status, "application/json", text.encode()

        parts = path.strip("/").split("/")
        if parts[:2] != ["v1", "campaigns"]:
            return reply(404, error={"code": "not_found", "message": "no such route"})
        if len(parts) == 2:
            campaign = self.campaign(json.loads(body)["name"])
            return reply(201, {k: v for k, v in self.campaigns[campaign].items() if k != "polls"})
        campaign = self.campaigns.get(parts[2])
        if campaign is None:
            return reply(404, error={"code": "not_found", "message": "no such campaign"})
        if len(parts) == 3:
            return reply(200, {k: v for k, v in campaign.items() if k != "polls"})
        if len(parts) == 4 and method == "GET":
            return reply(200, campaign["polls"])
        if len(parts) == 4:
            ask = json.loads(body)
            if campaign["runningPoll"]:
                return reply(409, error={"code": "poll_running", "message": "A poll is already running.",
                                         "details": [{"field": "poll", "message": campaign["runningPoll"]}]})
            if len(ask["question"]) > 45:
                return reply(400, error={"code": "bad_request", "message": "The question is too long.", "details": [
                    {"field": "question", "message": "must be 1 to 45 characters"}]})
            poll = self.launch(parts[2], ask["question"], ask["options"], ask["durationSeconds"], ask["type"])
            return reply(201, poll)
        if parts[5] == "votes":
            answers = []
            recorder = type("Recorder", (), {"send": lambda _, message: answers.append(message)})()
            self._vote(recorder, {"id": 0, "campaign": parts[2], "poll": parts[4], **json.loads(body)})
            return reply(200, answers[0])
        return reply(200, self.end(parts[2], "CANCELLED"))
