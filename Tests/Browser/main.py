"""Runs the tests one after another in one Chromium and prints what came of them."""

import asyncio
import sys
import time
import traceback

import harness
from cdp import Browser
from harness import RealServer, StandIn

# Importing registers the tests.
import client_tests  # noqa: F401
import page_tests  # noqa: F401
import access_tests  # noqa: F401
import cluster_tests  # noqa: F401

TEST_SECONDS = 240  # only a hang reaches it


class Scene:
    """What a test gets: the browser, the server under test, and its binary where there is one."""

    def __init__(self, browser: Browser, server, binary: str | None):
        self.browser, self.server, self.binary = browser, server, binary

    @property
    def is_real(self) -> bool:
        return self.binary is not None

    async def page(self, path: str, **options):
        return await self.browser.page(self.server.url + path, **options)


async def run(binary: str | None, words: list[str]) -> int:
    passed, failed = 0, []
    server = await (RealServer(binary) if binary else StandIn()).start()
    browser = await Browser().start()
    scene = Scene(browser, server, binary)
    try:
        for name, function in harness.TESTS:
            if words and not any(word in name for word in words):
                continue
            began = time.monotonic()
            try:
                async with asyncio.timeout(TEST_SECONDS):
                    await function(scene)
                passed += 1
                print(f"ok      {name} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception as error:  # a failing test must not end the run
                failed.append(name)
                print(f"FAILED  {name} ({time.monotonic() - began:.1f} s)", flush=True)
                lines = traceback.format_exception(error)
                print("        " + "".join(lines[-6:]).replace("\n", "\n        "), flush=True)
            await browser.close_pages()
    finally:
        await browser.stop()
        await server.stop()
    print(f"{passed} passed, {len(failed)} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    target = sys.argv[1]
    sys.exit(asyncio.run(run(None if target == "--stand-in" else target, sys.argv[2:])))
