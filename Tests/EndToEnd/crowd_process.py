"""The process that holds a crowd: subscribers of one campaign on one node, each checked by itself."""

import asyncio

import tools


class Crowd:
    """Subscribers on a node, for as long as the context lasts; a line asks them for something, a word answers."""

    def __init__(self, node, campaign, count):
        self.node, self.campaign, self.count = node, campaign, count

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            tools.build("crowd"),
            str(self.node.port),
            self.campaign["id"],
            str(self.count),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def answer(self, word):
        line = (await asyncio.wait_for(self.process.stdout.readline(), 300)).decode()
        assert line.startswith(word), f"the crowd said {line!r} instead of {word!r}"
        return line.removeprefix(word).strip()

    async def ask(self, line, word):
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()
        return await self.answer(word)

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
