"""Subscribers that stop reading: they cost little, get the newest tally when they wake, and never slow the others."""

import asyncio
import json
import socket as sockets
import struct

import client
import http1
import suite
from client import position
from node import Node, until
from suite import test
from timing import limited

CAMPAIGNS = 100  # each sends at most 10 updates a second
STALLED = 8
SECONDS = 12
COST_LIMIT = 200_000  # bytes of the process and of both ends' socket queues, per stalled connection


def queued_bytes(server_port, client_port):
    """What waits in the kernel between the two ends: the server's unsent and the client's unread bytes."""
    total = 0
    with open("/proc/net/tcp") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            local, remote = (int(field.split(":")[1], 16) for field in fields[1:3])
            unsent, unread = (int(value, 16) for value in fields[4].split(":"))
            if (local, remote) == (server_port, client_port):
                total += unsent
            elif (local, remote) == (client_port, server_port):
                total += unread
    return total


class Sleeper:
    """A subscriber on a bare socket, which reads only when it is told to."""

    def __init__(self, node):
        self.node = node

    async def open(self, campaigns):
        loop = asyncio.get_running_loop()
        # A fixed receive buffer: one that the kernel tunes grows with what was read before, by the client's own doing.
        self.socket = sockets.socket()
        self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 64 * 1024)
        self.socket.connect(("127.0.0.1", self.node.port))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]
        self.buffer = bytearray()
        head = http1.encode("GET", "/v1/ws", self.node, {
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "tumulte.v1.json",
        })  # fmt: skip
        await loop.sock_sendall(self.socket, head)
        while b"\r\n\r\n" not in self.buffer:
            await self._receive()
        assert self.buffer.startswith(b"HTTP/1.1 101"), bytes(self.buffer[:80])
        del self.buffer[: self.buffer.index(b"\r\n\r\n") + 4]
        for each in campaigns:
            await self.send({"op": "subscribe", "id": 1, "campaign": each["id"]})
            while (await self.message())["op"] != "subscribed":
                pass

    async def _receive(self):
        # Nothing is awaited between taking bytes from the socket and keeping them: a reader that is cancelled loses none.
        while True:
            try:
                data = self.socket.recv(1 << 16)
                break
            except BlockingIOError:
                await limited(self._readable(), 60)
        if not data:
            raise EOFError("the node closed")
        self.buffer += data

    async def _readable(self):
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.socket, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self.socket)

    async def send(self, message):
        payload = json.dumps(message).encode()
        head = bytes([0x81, 0x80 | len(payload)]) if len(payload) < 126 else b"\x81\xfe" + struct.pack(">H", len(payload))
        await asyncio.get_running_loop().sock_sendall(self.socket, head + b"\0\0\0\0" + payload)

    async def pong(self, payload=b""):
        """Shows that this client lives: who is silent for 60 s is closed."""
        frame = bytes([0x8A, 0x80 | len(payload)]) + b"\0\0\0\0" + payload
        await asyncio.get_running_loop().sock_sendall(self.socket, frame)

    async def frame(self):
        async def need(count):
            while len(self.buffer) < count:
                await self._receive()

        await need(2)
        size, head = self.buffer[1] & 127, 2
        if size == 126:
            await need(4)
            size, head = struct.unpack(">H", self.buffer[2:4])[0], 4
        elif size == 127:
            await need(10)
            size, head = struct.unpack(">Q", self.buffer[2:10])[0], 10
        await need(head + size)
        opcode, payload = self.buffer[0] & 15, bytes(self.buffer[head : head + size])
        del self.buffer[: head + size]
        return opcode, payload

    async def message(self):
        while True:
            opcode, payload = await self.frame()
            if opcode == 1:
                return json.loads(payload)
            if opcode == 9:
                await self.pong(payload)
            if opcode == 8:
                raise client.ConnectionClosed(None, None) if len(payload) < 2 else Closed(*struct.unpack(">H", payload[:2]))

    def close(self):
        self.socket.close()


class Closed(Exception):
    def __init__(self, code):
        super().__init__(f"closed with {code}")
        self.code = code


async def voting(node, polls, seconds):
    """Votes in every poll in turn until the time is over; returns how many votes each poll has."""
    counts = [0] * len(polls)
    clock = asyncio.get_running_loop().time
    until, rounds = clock() + seconds, 0
    async with client.websocket(node) as socket:
        while clock() < until or rounds < 30:
            rounds += 1
            replies = []
            for index, poll in enumerate(polls):
                replies.append(socket.post(op="vote", campaign=poll["campaignId"], poll=poll["id"], option=0))
                counts[index] += 1
            acks = await asyncio.gather(*replies)
            assert all(ack["op"] == "ack" for ack in acks), [ack for ack in acks if ack["op"] != "ack"][:3]
    return counts


@test
@suite.within(600)
async def a_stalled_client_costs_little_and_wakes_to_the_newest_tally():
    async with Node() as node:
        campaigns = [await client.campaign(node, f"Campaign {i}") for i in range(CAMPAIGNS)]
        polls = [await client.poll(node, campaign, type="STANDARD") for campaign in campaigns]
        async with client.websocket(node) as reader:
            for campaign in campaigns:
                await reader.subscribe(campaign["id"])
            sleepers = [Sleeper(node) for _ in range(STALLED)]
            for sleeper in sleepers:
                await sleeper.open(campaigns)
            # Warm up while everybody reads, so that only what the stall costs is counted.
            reading = [asyncio.create_task(read_on(sleeper)) for sleeper in sleepers]
            warm = await voting(node, polls, 3)
            # What the same time costs while everybody reads is not the stall's doing.
            started = node.memory_kib()
            warm = [a + b for a, b in zip(warm, await voting(node, polls, SECONDS))]
            usual = max(0, node.memory_kib() - started) * 1024
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
            for sleeper in sleepers:
                await sleeper.pong()
            before = node.memory_kib()
            seen = len(reader.inbox)
            counts = await voting(node, polls, SECONDS)
            queues = [queued_bytes(node.port, sleeper.port) for sleeper in sleepers]
            grown = max(0, (node.memory_kib() - before) * 1024 - usual)
            total = [a + b for a, b in zip(warm, counts)]
            # The others were not slowed: the reader has the newest of everything.
            await until(lambda: newest(reader.inbox, polls) == total, what="the reader to see the newest tallies")
            updates = len(reader.inbox) - seen
            cost = max(queues) + grown // STALLED
            assert updates > 1000, f"only {updates} updates: the stall proved nothing"
            print(
                f"figure: a client that stalls for {SECONDS} s and {updates} updates costs {cost} bytes"
                f" ({max(queues)} in socket queues, {grown // STALLED} of the process)"
            )
            assert cost < COST_LIMIT, cost
            for sleeper in sleepers[:3]:
                received, last, places = 0, {}, {}
                want = {poll["campaignId"]: count for poll, count in zip(polls, total)}
                while last != want:
                    message = await sleeper.message()
                    campaign = message["campaign"]
                    if campaign in places:
                        assert position(message) > places[campaign], (message, places[campaign])
                    places[campaign] = position(message)
                    received += 1
                    data = message["data"] if message["op"] == "event" else message["poll"]
                    last[campaign] = data["totalVotes"]
                assert received < updates, f"{received} messages reached the sleeper, {updates} the reader"
            for sleeper in sleepers:
                sleeper.close()


async def read_on(sleeper):
    while True:
        await sleeper.message()


def newest(inbox, polls):
    last = {}
    for message in inbox:
        if message.get("event") == "poll:update":
            last[message["campaign"]] = message["data"]["totalVotes"]
    return [last.get(poll["campaignId"]) for poll in polls]


@test
async def a_client_too_slow_for_what_may_not_be_dropped_is_cut_and_resumes():
    async with Node() as node:
        campaign = await client.campaign(node)
        sleeper = Sleeper(node)
        await sleeper.open([campaign])
        async with client.websocket(node) as sender:
            data = "x" * 16000
            for _ in range(40):
                replies = [sender.post(op="signal", campaign=campaign["id"], name="big", data=data) for _ in range(50)]
                acks = await asyncio.gather(*replies)
                assert all(ack["op"] == "ack" for ack in acks), acks[0]
        last, cut = None, None
        try:
            while True:
                message = await sleeper.message()
                assert last is None or position(message) > last
                last = position(message)
        except Closed as closed:
            cut = closed.code
        except (EOFError, ConnectionError):
            cut = "closed"
        except TimeoutError:
            pass  # everything was kept for it: an unbounded queue
        assert cut in (4410, "closed"), cut
        sleeper.close()
        async with client.websocket(node) as socket:
            reply = await socket.subscribe(campaign["id"], {"epoch": last[0], "seq": last[1]})
            assert reply["op"] == "subscribed", reply
            await socket.ask(op="signal", campaign=campaign["id"], name="after", data=1)
            await socket.event("signal", where=lambda data: data["name"] == "after")


if __name__ == "__main__":
    suite.run(suite.parser("stall").parse_args().only, parallel=1)
