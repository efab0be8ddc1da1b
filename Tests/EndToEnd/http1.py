"""A small HTTP/1.1 client of our own: nothing is added, corrected or hidden, so that a test sees the bytes."""

import asyncio
import dataclasses
import json as jsonlib

from timing import limited


@dataclasses.dataclass
class Response:
    status: int
    headers: dict  # names in lower case; a repeated field is joined by a comma
    body: bytes
    raw_head: bytes = b""

    @property
    def json(self):
        return jsonlib.loads(self.body)

    @property
    def data(self):
        return self.json["data"]

    @property
    def code(self):
        return self.json["error"]["code"]


class Connection:
    """One TCP connection to a node."""

    def __init__(self, node):
        self.node = node

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self.node.host, self.node.port, limit=1 << 22)
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass

    async def send(self, data: bytes):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, seconds=60.0):
        """Reads a response's head: (status, headers, raw)."""
        raw = await limited(self.reader.readuntil(b"\r\n\r\n"), seconds)
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return int(first.split(" ")[1]), headers, raw

    async def response(self, method="GET", seconds=60.0):
        """Reads one whole response, interim (1xx) ones skipped."""
        while True:
            status, headers, raw = await self.head(seconds)
            if status >= 200:
                break
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while True:
                size = int((await limited(self.reader.readline(), seconds)).split(b";")[0], 16)
                body += await limited(self.reader.readexactly(size), seconds)
                await self.reader.readline()
                if size == 0:
                    break
        elif "content-length" in headers:
            body = await limited(self.reader.readexactly(int(headers["content-length"])), seconds)
        else:
            body = await limited(self.reader.read(), seconds)
        return Response(status, headers, body, raw)

    async def rest(self, seconds=60.0):
        """Everything until the server closes."""
        try:
            return await limited(self.reader.read(), seconds)
        except ConnectionResetError:
            return b""


def encode(method, path, node, headers=None, body=None):
    fields = {"Host": f"{node.host}:{node.port}"}
    if body is not None:
        fields["Content-Type"] = "application/json"
        fields["Content-Length"] = str(len(body))
    for name, value in (headers or {}).items():
        for known in [k for k in fields if k.lower() == name.lower()]:
            del fields[known]
        if value is not None:
            fields[name] = value
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + (body or b"")


async def request(node, method, path, json=None, headers=None, body=None, token=None, seconds=60.0):
    """One request on a connection of its own."""
    if json is not None:
        body = jsonlib.dumps(json).encode()
    headers = {"Connection": "close"} | (headers or {})
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with Connection(node) as connection:
        await connection.send(encode(method, path, node, headers, body))
        return await connection.response(method, seconds)
