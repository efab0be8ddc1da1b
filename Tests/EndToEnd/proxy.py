"""A TCP proxy before a node or a store, which can be cut: connections end and are refused, or bytes vanish without a word,
as where a network drops them.
"""

import asyncio

from node import free_port


class Proxy:
    """`async with Proxy(port) as proxy:` passes connections to `proxy.port` on to `port` of this machine."""

    def __init__(self, target, host="127.0.0.1"):
        self.target = target
        self.host = host
        self.port = free_port()
        self.state = "open"
        self.pairs = set()
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._accepted, self.host, self.port)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.cut()
        # Those that the end of the program would cancel would be complained of.
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def cut(self):
        """Every connection is reset, each new one too."""
        self.state = "cut"
        self._abort()

    def swallow(self):
        """Nothing is passed on any more, and nobody is told. New connections are accepted and stay silent."""
        self.state = "swallowing"

    def mute(self):
        """What is asked is passed on, what is answered is not."""
        self.state = "mute"

    def heal(self):
        """New connections are passed on. The old ones have lost bytes, and end."""
        self.state = "open"
        self._abort()

    def _abort(self):
        for writer in list(self.pairs):
            writer.transport.abort()

    async def _accepted(self, reader, writer):
        if self.state == "cut":
            return writer.transport.abort()
        self.pairs.add(writer)
        self.tasks.add(asyncio.current_task())
        other = None
        try:
            if self.state == "swallowing":
                while await reader.read(65536):
                    pass
                return
            there, other = await asyncio.open_connection("127.0.0.1", self.target)
            self.pairs.add(other)
            await asyncio.gather(self._pass(reader, other, ("open", "mute")), self._pass(there, writer, ("open",)))
        except OSError:
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            for end in (writer, other):
                if end:
                    self.pairs.discard(end)
                    end.transport.abort()

    async def _pass(self, reader, writer, states):
        while data := await reader.read(65536):
            if self.state in states:
                writer.write(data)
                await writer.drain()
        if self.state == "open":
            # Half of a connection is of no use to anybody.
            writer.close()
