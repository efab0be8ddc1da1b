"""HTTP/1.1 and WebSocket as bytes: pipelining, limits, smuggling, framing errors."""

import asyncio
import base64
import os
import re
import struct

import client
import http1
from node import Node
from scenario_campaigns import refused
from suite import test
from timing import limited


@test
async def pipelined_requests_are_answered_in_order():
    async with Node() as node:
        paths = ["/health", "/nowhere", "/health/live", "/v1/campaigns/x", "/health"] * 4
        async with http1.Connection(node) as connection:
            await connection.send(b"".join(http1.encode("GET", path, node) for path in paths))
            statuses = [(await connection.response()).status for _ in paths]
            assert statuses == [200, 404, 200, 400, 200] * 4, statuses
            body = b'{"name":"Piped"}'
            await connection.send(http1.encode("POST", "/v1/campaigns", node, body=body) * 3)
            made = [(await connection.response()).data["id"] for _ in range(3)]
            assert len(set(made)) == 3
            # Byte by byte is as good as at once.
            for byte in http1.encode("POST", "/v1/campaigns", node, body=body):
                await connection.send(bytes([byte]))
            assert (await connection.response()).status == 201


@test
async def connections_are_kept_and_closed_as_asked():
    async with Node() as node:
        async with http1.Connection(node) as connection:
            for _ in range(3):
                await connection.send(http1.encode("GET", "/health", node))
                assert (await connection.response()).status == 200
            await connection.send(http1.encode("GET", "/health", node, {"Connection": "close"}))
            reply = await connection.response()
            assert reply.headers["connection"].lower() == "close" and await connection.rest() == b""
        async with http1.Connection(node) as connection:
            await connection.send(f"GET /health HTTP/1.0\r\nHost: 127.0.0.1:{node.port}\r\n\r\n".encode())
            assert (await connection.response()).status == 200
            assert await connection.rest() == b"", "HTTP/1.0 closes unless asked to stay"


@test
async def a_client_that_has_said_all_still_gets_its_answer():
    async with Node() as node:
        body = b'{"name": "Half closed"}'
        for _ in range(5):
            async with http1.Connection(node) as connection:
                await connection.send(http1.encode("POST", "/v1/campaigns", node, body=body))
                connection.writer.write_eof()
                reply = await connection.response()
                assert reply.status == 201, reply.body
                assert await connection.rest() == b""


@test
async def head_answers_without_a_body():
    async with Node() as node, http1.Connection(node) as connection:
        for path in ("/health", "/", "/nowhere"):
            # An error's body names its request: with ids of the node's own the lengths could differ.
            named = {"X-Request-ID": "the-same"}
            await connection.send(http1.encode("GET", path, node, named))
            full = await connection.response()
            await connection.send(http1.encode("HEAD", path, node, named))
            bare = await connection.response("HEAD")
            assert bare.status == full.status, (path, bare.status, full.status)
            assert bare.headers.get("content-length", str(len(full.body))) == str(len(full.body)), path


@test
async def wrong_methods_and_types_are_named():
    async with Node() as node:
        campaign = await client.campaign(node)
        for method, path, allowed in [
            ("DELETE", "/v1/campaigns", "POST"),
            ("PUT", f"/v1/campaigns/{campaign['id']}", "PATCH"),
            ("POST", "/health", "GET"),
            ("GET", f"/v1/campaigns/{campaign['id']}/signals", "POST"),
        ]:
            body = b"{}" if method in ("POST", "PUT") else None
            reply = await http1.request(node, method, path, body=body)
            assert reply.status == 405 and allowed in reply.headers["allow"], (method, path, reply.status)
            assert reply.json["error"]["code"]
        refused(await http1.request(node, "GET", "/v1/nowhere"), 404, "not_found")
        for kind in (None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
            headers = {"Content-Type": kind}
            reply = await http1.request(node, "POST", "/v1/campaigns", body=b'{"name":"abc"}', headers=headers)
            assert reply.status == 415, (kind, reply.status)
        for kind in ("application/json; charset=utf-8", "Application/JSON"):
            headers = {"Content-Type": kind}
            reply = await http1.request(node, "POST", "/v1/campaigns", body=b'{"name":"abc"}', headers=headers)
            assert reply.status == 201, kind


@test
async def bodies_come_chunked_too():
    async with Node() as node:
        head = http1.encode(
            "POST", "/v1/campaigns", node, {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
        )
        for chunks in (
            b'10\r\n{"name":"Chunky"\r\n1\r\n}\r\n0\r\n\r\n',
            b'10;extension=1\r\n{"name":"Chunky"\r\n1\r\n}\r\n0\r\nTrailer: yes\r\n\r\n',
        ):
            async with http1.Connection(node) as connection:
                await connection.send(head + chunks + http1.encode("GET", "/health", node))
                reply = await connection.response()
                assert reply.status == 201 and reply.data["name"] == "Chunky", reply.body
                assert (await connection.response()).status == 200
        async with http1.Connection(node) as connection:
            body = b'{"name":"Expected"}'
            await connection.send(http1.encode("POST", "/v1/campaigns", node, {"Expect": "100-continue"}, body)[: -len(body)])
            status, _, _ = await connection.head()
            assert status == 100, status
            await connection.send(body)
            assert (await connection.response()).status == 201


@test
async def what_is_too_large_is_refused():
    async with Node() as node:
        huge = 1024 * 1024 + 1
        async with http1.Connection(node) as connection:
            headers = {"Content-Length": str(huge), "Content-Type": "application/json"}
            await connection.send(http1.encode("POST", "/v1/campaigns", node, headers))
            reply = await connection.response()
            assert reply.status == 413 and reply.code == "too_large", reply.body
        async with http1.Connection(node) as connection:
            headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
            await connection.send(http1.encode("POST", "/v1/campaigns", node, headers))
            chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
            try:
                for _ in range(17):
                    await connection.send(chunk)
            except ConnectionError:
                pass
            assert (await connection.response()).status == 413
        fits = b'{"name":"Padded"' + b" " * (1024 * 1024 - 17) + b"}"
        assert (await http1.request(node, "POST", "/v1/campaigns", body=fits)).status == 201
        for headers, path, status in [
            ({"X-Large": "x" * 17000}, "/health", 431),
            ({f"X-{i}": "x" * 100 for i in range(200)}, "/health", 431),
            ({}, "/" + "x" * 20000, 414),
        ]:
            async with http1.Connection(node) as connection:
                await connection.send(http1.encode("GET", path, node, headers))
                reply = await connection.response()
                assert reply.status == status, (status, reply.status)


@test
async def requests_that_never_end_are_timed_out():
    async with Node() as node:
        async def slow(data):
            async with http1.Connection(node) as connection:
                await connection.send(data)
                return await connection.rest(120)

        half = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\nX-".encode()
        body = http1.encode("POST", "/v1/campaigns", node, body=b'{"name":"abc"}')[:-3]
        answers = await asyncio.gather(slow(half), slow(body))
        assert answers[0].startswith(b"HTTP/1.1 408 "), answers[0]
        assert answers[1].startswith(b"HTTP/1.1 408 "), answers[1]


SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@test
async def requests_that_could_smuggle_another_are_refused():
    async with Node() as node:
        host = f"Host: 127.0.0.1:{node.port}\r\n".encode()
        post = b"POST /v1/campaigns HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\n"
        get = b"GET /health HTTP/1.1\r\n" + host
        for name, request in {
            "length and chunked": post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "chunked and length": post + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "two lengths": post + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
            "a list of lengths": post + b"Content-Length: 2, 40\r\n\r\n{}",
            "a signed length": post + b"Content-Length: +2\r\n\r\n{}",
            "a negative length": post + b"Content-Length: -2\r\n\r\n{}",
            "a hexadecimal length": post + b"Content-Length: 0x2\r\n\r\n{}",
            "a length that overflows": post + b"Content-Length: 18446744073709551618\r\n\r\n{}",
            "a space before the colon": post + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "a tab before the colon": post + b"Content-Length\t: 2\r\n\r\n{}",
            "another coding": post + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "chunked, then another": post + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "chunked twice": post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "nearly chunked": post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "chunked in HTTP/1.0": post.replace(b"1.1\r", b"1.0\r") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "a folded line": post + b"Content-Length:\r\n 2\r\n\r\n{}",
            "a chunk size that overflows": post + b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
            "a signed chunk size": post + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
            "a chunk without its end": post + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
            "no host": b"GET /health HTTP/1.1\r\n\r\n",
            "two hosts": get + b"Host: other\r\n\r\n",
            "no version": b"GET /health\r\n" + host + b"\r\n",
            "version 2": b"GET /health HTTP/2.0\r\n" + host + b"\r\n",
            "version 1.9": b"GET /health HTTP/1.9\r\n" + host + b"\r\n",
            "a zero byte": get + b"X-A: a\0b\r\n\r\n",
            "a lone carriage return": get + b"X-A: a\rX-B: b\r\n\r\n",
            "a name that is none": get + b"X A: b\r\n\r\n",
            "nothing before the colon": get + b": b\r\n\r\n",
            "no colon": get + b"nonsense\r\n\r\n",
            "a space in the target": b"GET /health x HTTP/1.1\r\n" + host + b"\r\n",
        }.items():
            async with http1.Connection(node) as connection:
                await connection.send(request + SMUGGLED)
                answer = await connection.rest()
                assert len(re.findall(rb"HTTP/1\.1 \d", answer)) <= 1, (name, answer[:400])
                if answer:
                    status = int(answer.split(b" ")[1])
                    assert 400 <= status < 600 and status != 500, (name, status)
        assert (await http1.request(node, "GET", "/health")).status == 200


# ---- WebSocket frames, made by hand


def frame(opcode, payload=b"", fin=True, masked=True, rsv=0):
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    length, mask = len(payload), 0x80 if masked else 0
    if length < 126:
        head += bytes([mask | length])
    elif length < 65536:
        head += bytes([mask | 126]) + struct.pack(">H", length)
    else:
        head += bytes([mask | 127]) + struct.pack(">Q", length)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[i & 3] for i, byte in enumerate(payload))


HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Frames(http1.Connection):
    """A WebSocket of which the test sees every frame."""

    async def __aenter__(self):
        await super().__aenter__()
        await self.send(http1.encode("GET", "/v1/ws", self.node, HANDSHAKE))
        status, headers, _ = await self.head()
        assert status == 101 and headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", headers
        return self

    async def frame(self, seconds=60):
        first, second = await limited(self.reader.readexactly(2), seconds)
        assert second < 0x80, "a server does not mask"
        length = second
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
        return first & 15, await self.reader.readexactly(length)

    async def close_code(self):
        while True:
            opcode, payload = await self.frame()
            if opcode == 8:
                return struct.unpack(">H", payload[:2])[0] if payload else None


PING = b'{"op":"ping","id":1}'


@test
async def frames_may_be_cut_and_control_frames_come_between():
    async with Node() as node, Frames(node) as socket:
        await socket.send(frame(9, b"hello"))
        assert await socket.frame() == (10, b"hello")
        await socket.send(frame(1, PING[:5], fin=False) + frame(9, b"mid") + frame(0, PING[5:9], fin=False) + frame(0, PING[9:]))
        assert await socket.frame() == (10, b"mid")
        opcode, payload = await socket.frame()
        assert opcode == 1 and b'"pong"' in payload, payload
        for byte in frame(1, PING):
            await socket.send(bytes([byte]))
        assert b'"pong"' in (await socket.frame())[1]
        await socket.send(frame(1, PING) * 100)
        assert [(await socket.frame())[0] for _ in range(100)] == [1] * 100
        await socket.send(frame(10, b"unasked pongs are fine"))
        await socket.send(frame(8, struct.pack(">H", 1000) + b"bye"))
        assert await socket.close_code() == 1000
        assert await socket.rest() == b"", "the server closes after the handshake of closing"


@test
async def broken_frames_close_with_the_code_of_the_standard():
    async with Node() as node:
        for name, data, codes in [
            ("not masked", frame(1, PING, masked=False), {1002}),
            ("a reserved bit", frame(1, PING, rsv=2), {1002}),
            ("compressed without agreement", frame(1, PING, rsv=4), {1002}),
            ("a reserved opcode", frame(3, PING), {1002}),
            ("a reserved control opcode", frame(11), {1002}),
            ("a control frame in parts", frame(9, b"x", fin=False), {1002}),
            ("a control frame too long", frame(9, b"x" * 126), {1002}),
            ("a continuation of nothing", frame(0, PING), {1002}),
            ("a message inside a message", frame(1, b"{", fin=False) + frame(1, PING), {1002}),
            ("invalid UTF-8", frame(1, b'"\xff"'), {1007}),
            ("invalid UTF-8 over frames", frame(1, b'"\xe2\x82', fin=False) + frame(0, b'\x41"'), {1007}),
            ("a surrogate", frame(1, b'"\xed\xa0\x80"'), {1007}),
            ("a close code that is reserved", frame(8, struct.pack(">H", 1005)), {1002}),
            ("a close frame of one byte", frame(8, b"x"), {1002}),
            ("a close reason that is not UTF-8", frame(8, struct.pack(">H", 1000) + b"\xff"), {1002, 1007}),
            ("too large", frame(1, b"x" * 65537), {1009}),
            ("too large in its head alone", b"\x81\xff" + struct.pack(">Q", 1 << 40) + b"\0\0\0\0", {1009}),
            ("a length with its top bit set", b"\x81\xff" + struct.pack(">Q", 1 << 63) + b"\0\0\0\0", {1002, 1009}),
            ("too large in parts", frame(1, b"x" * 40000, fin=False) + frame(0, b"x" * 40000), {1009}),
            ("binary where text was agreed", frame(2, PING), {4400, 1003}),
        ]:
            async with Frames(node) as socket:
                await socket.send(data)
                code = await socket.close_code()
                assert code in codes, (name, code)


@test
async def handshakes_that_are_wrong_are_refused():
    async with Node() as node:
        for change, status in [
            ({"Sec-WebSocket-Version": "12"}, 426),
            ({"Sec-WebSocket-Version": None}, None),
            ({"Sec-WebSocket-Key": None}, 400),
            ({"Sec-WebSocket-Key": "short"}, 400),
            ({"Sec-WebSocket-Key": base64.b64encode(b"x" * 15).decode()}, 400),
            ({"Upgrade": None}, None),
            ({"Connection": "keep-alive"}, None),
        ]:
            async with http1.Connection(node) as connection:
                await connection.send(http1.encode("GET", "/v1/ws", node, HANDSHAKE | change))
                got, headers, _ = await connection.head()
                assert got in ((400, 426) if status is None else (status,)), (change, got)
                if got == 426:
                    assert headers.get("sec-websocket-version") == "13", headers
        async with http1.Connection(node) as connection:
            await connection.send(http1.encode("POST", "/v1/ws", node, HANDSHAKE, b"{}"))
            assert (await connection.head())[0] in (400, 405)


@test
async def every_page_and_reply_carries_security_headers():
    async with Node() as node:
        campaign = await client.campaign(node)
        for path, kind in [
            ("/", "text/html"),
            (f"/overlay/{campaign['id']}", "text/html"),
            ("/tumulte.js", "text/javascript"),
            ("/health", "application/json"),
            ("/nowhere", "application/json"),
        ]:
            reply = await http1.request(node, "GET", path)
            assert reply.headers["content-type"].startswith(kind), (path, reply.headers)
            assert reply.headers["x-content-type-options"] == "nosniff", path
            if kind == "text/html":
                assert reply.status == 200 and "content-security-policy" in reply.headers, path
                assert "unsafe-eval" not in reply.headers["content-security-policy"]
