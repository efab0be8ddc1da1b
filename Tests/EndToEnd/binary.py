"""The encoding `tumulte.v1.binary`, written from docs/PROTOCOL.md: client messages out, server messages in, as the
same dictionaries that the JSON encoding has."""

import datetime
import uuid

KINDS = {"hello": 1, "subscribe": 2, "unsubscribe": 3, "vote": 4, "signal": 5, "ping": 6}
REPLIES = {0x81: "hello", 0x82: "subscribed", 0x83: "unsubscribed", 0x84: "ack", 0x85: "error", 0x86: "pong", 0x87: "event"}
ROLES = {1: "voter", 2: "host", 3: "service"}
VOTE = {1: "counted", 2: "moved", 3: "same", 4: "duplicate"}
TYPES = {1: "STANDARD", 2: "UNIQUE"}
POLL = {1: "RUNNING", 2: "ENDED", 3: "CANCELLED"}
CODES = {
    1: "bad_request", 2: "invalid_option", 3: "poll_closed", 4: "unauthorized", 5: "forbidden", 6: "not_found",
    7: "poll_running", 8: "conflict", 9: "too_large", 10: "rate_limited", 11: "overloaded", 12: "unavailable",
    13: "timeout", 14: "internal",
}  # fmt: skip
EVENTS = {
    1: "poll:start", 2: "poll:update", 3: "poll:countdown", 4: "poll:end", 5: "campaign:updated",
    6: "campaign:deleted", 7: "signal",
}  # fmt: skip


# ---- out


def uint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def integer(value):
    return uint(2 * value if value >= 0 else -2 * value - 1)


def text(value):
    data = value.encode()
    return uint(len(data)) + data


def identifier(value):
    return uuid.UUID(value).bytes


def place(after):
    return uint(after["epoch"]) + uint(after["seq"])


def encode(message, dumps):
    """A client's message as bytes; `dumps` makes JSON text of a signal's data."""
    op, flags, head, body = message["op"], 0, b"", b""
    mark = message.get("id")
    if isinstance(mark, int):
        flags, head = 1, integer(mark)
    elif isinstance(mark, str):
        flags, head = 2, text(mark)

    def optional(flag, name, write):
        nonlocal flags, body
        if message.get(name) is not None:
            flags |= flag
            body += write(message[name])

    if op in ("subscribe", "unsubscribe", "vote", "signal"):
        body += identifier(message["campaign"])
    if op == "hello":
        optional(4, "token", text)
        optional(8, "voter", text)
        if message.get("subscriptions"):
            flags |= 16
            body += uint(len(message["subscriptions"]))
            for each in message["subscriptions"]:
                after = each.get("after")
                body += bytes([1 if after else 0]) + identifier(each["campaign"]) + (place(after) if after else b"")
    elif op == "subscribe":
        optional(4, "after", place)
    elif op == "vote":
        body += identifier(message["poll"]) + integer(message["option"])
        optional(4, "voter", text)
        optional(8, "channel", text)
        optional(16, "key", text)
    elif op == "signal":
        body += text(message["name"]) + text(dumps(message["data"]))
    return bytes([KINDS[op], flags]) + head + body


# ---- in


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "the message is cut off"
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def uint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                assert byte or not shift, "an integer is longer than it needs to be"
                return value
            shift += 7

    def integer(self):
        folded = self.uint()
        return folded >> 1 if not folded & 1 else -(folded + 1) // 2

    def text(self):
        return self.take(self.uint()).decode()

    def identifier(self):
        return str(uuid.UUID(bytes=bytes(self.take(16))))

    def time(self):
        milliseconds = self.integer()
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=milliseconds)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"

    def list(self, read):
        return [read() for _ in range(self.uint())]

    def position(self):
        return {"epoch": self.uint(), "seq": self.uint()}

    def tally(self):
        return self.identifier(), self.list(self.uint), self.list(lambda: (self.text(), self.list(self.uint)))

    def update(self):
        mark, votes, channels = self.tally()
        return {"id": mark} | counted(votes, channels)

    def poll(self):
        mark, votes, channels = self.tally()
        campaign, kind, status, ended = self.identifier(), TYPES[self.byte()], POLL[self.byte()], self.byte()
        seconds, started, ends = self.integer(), self.time(), self.time()
        ended = self.time() if ended else None
        position, question, options = self.position(), self.text(), self.list(self.text)
        best = max(votes)
        return (
            {"id": mark, "campaignId": campaign, "question": question, "options": options, "type": kind}
            | {"durationSeconds": seconds, "status": status, "startedAt": started, "endsAt": ends, "endedAt": ended}
            | counted(votes, channels)
            | {"winners": [i for i, n in enumerate(votes) if n == best and best and status != "RUNNING"]}
            | position
        )

    def campaign(self):
        present, mark, created, name = self.byte(), self.identifier(), self.time(), self.text()
        owner = self.text() if present & 1 else None
        description = self.text() if present & 2 else None
        running = self.identifier() if present & 4 else None
        return {"id": mark, "ownerId": owner, "name": name, "description": description, "createdAt": created,
                "runningPoll": running}  # fmt: skip


def counted(votes, channels):
    total = sum(votes)
    return {
        "totalVotes": total,
        "votes": votes,
        "percentages": [(2000 * n + total) // (2 * total) / 10 if total else 0 for n in votes],
        "channels": [{"channel": name, "totalVotes": sum(each), "votes": each} for name, each in channels],
    }


def decode(data, loads):
    """A server's message; `loads` reads the JSON text of a signal's data."""
    reader = Reader(data)
    op, flags = REPLIES[reader.byte()], reader.byte()
    message = {"op": op}
    if flags & 1:
        message["id"] = reader.integer()
    if flags & 2:
        message["id"] = reader.text()
    first, second, third = flags & 4, flags & 8, flags & 16
    if op == "hello":
        role, time = ROLES[reader.byte()], reader.time()
        numbers = {name: reader.integer() for name in ("pingMs", "maxMessageBytes", "jitterMs")}
        message |= {"node": reader.text(), "voter": reader.text() if first else None, "role": role, "time": time} | numbers
    elif op == "subscribed":
        message |= {"campaign": reader.identifier()} | reader.position() | {"recovered": bool(first)}
        if not first:
            message["poll"] = reader.poll() if second else None
    elif op == "unsubscribed":
        message["campaign"] = reader.identifier()
    elif op == "ack":
        if first:
            message["status"] = VOTE[reader.byte()]
        message |= reader.position()
    elif op == "error":
        message["code"] = CODES[reader.byte()]
        if first:
            message["campaign"] = reader.identifier()
        message["message"] = reader.text()
        if second:
            message["retryAfterMs"] = reader.integer()
        if third:
            message["details"] = reader.list(lambda: {"field": reader.text(), "message": reader.text()})
    elif op == "event":
        message |= {"campaign": reader.identifier()} | reader.position() | {"at": reader.time()}
        message["event"] = EVENTS[reader.byte()]
        read = {
            "poll:start": reader.poll,
            "poll:update": reader.update,
            "poll:countdown": lambda: {"id": reader.identifier(), "secondsLeft": reader.integer()},
            "poll:end": reader.poll,
            "campaign:updated": reader.campaign,
            "campaign:deleted": lambda: {"id": reader.identifier()},
            "signal": lambda: {"name": reader.text(), "data": loads(reader.text())},
        }
        message["data"] = read[message["event"]]()
    assert reader.at == len(data), f"{len(data) - reader.at} bytes after the message"
    return message
