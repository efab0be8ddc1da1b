"""Drives headless Chromium over the DevTools protocol: just what these tests need.

A Browser is one process with a profile of its own; a Page is one tab in a browser context of its own (so two pages
share no storage unless asked to), which keeps everything that its console, its errors and its policy said.
"""

import asyncio
import base64
import itertools
import json
import os
import pathlib
import shutil
import signal
import tempfile

import websockets

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Browser:
    def __init__(self):
        self.ids = itertools.count(1)
        self.replies: dict[int, asyncio.Future] = {}
        self.pages: dict[str, "Page"] = {}

    async def start(self) -> "Browser":
        program = os.environ.get("CHROME") or next((found for found in map(shutil.which, CANDIDATES) if found), None)
        if program is None:
            raise SystemExit("no Chromium found: install the package `chromium`, or set CHROME to its path")
        self.profile = tempfile.mkdtemp(prefix="tumulte-browser-")
        self.process = await asyncio.create_subprocess_exec(
            program, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking", "--mute-audio",
            "--hide-scrollbars", "--no-proxy-server", f"--user-data-dir={self.profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True)
        port_file = pathlib.Path(self.profile) / "DevToolsActivePort"
        async with asyncio.timeout(180):
            while not port_file.exists() or "\n" not in port_file.read_text():
                if self.process.returncode is not None:
                    raise SystemExit(f"{program} ended at once with status {self.process.returncode}")
                await asyncio.sleep(0.05)
        port, path = port_file.read_text().split("\n")[:2]
        self.socket = await websockets.connect(f"ws://127.0.0.1:{port}{path}", max_size=None)
        self.reader = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        async for text in self.socket:
            message = json.loads(text)
            if "id" in message:
                future = self.replies.pop(message["id"], None)
                if future and not future.done():
                    future.set_result(message)
            elif page := self.pages.get(message.get("sessionId")):
                page._event(message["method"], message["params"])

    async def call(self, method: str, params: dict | None = None, session: str | None = None) -> dict:
        number = next(self.ids)
        future = self.replies[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        await self.socket.send(json.dumps(message))
        async with asyncio.timeout(120):
            reply = await future
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    async def page(self, url: str, *, width=1280, height=900, dark=False, scale=1,
                   context: str | None = None) -> "Page":
        if context is None:
            context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call("Target.createTarget", {"url": "about:blank", "browserContextId": context})
        attached = await self.call("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        page = Page(self, target["targetId"], attached["sessionId"], context)
        self.pages[attached["sessionId"]] = page
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            await page.call(f"{domain}.enable")
        await page.call("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600})
        await page.scheme(dark)
        await page.go(url)
        return page

    async def close_pages(self) -> None:
        """Ends every tab and its storage, so that no test sees another's."""
        contexts = {page.context for page in self.pages.values()}
        self.pages.clear()
        for context in contexts:
            await self.call("Target.disposeBrowserContext", {"browserContextId": context})

    async def stop(self) -> None:
        try:
            await self.call("Browser.close")
        except Exception:
            pass
        self.reader.cancel()
        await self.socket.close()
        try:
            async with asyncio.timeout(10):
                await self.process.wait()
        except TimeoutError:
            os.killpg(self.process.pid, signal.SIGKILL)  # the group that start_new_session made
            await self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


class Page:
    def __init__(self, browser: Browser, target: str, session: str, context: str):
        self.browser, self.target, self.session, self.context = browser, target, session, context
        self.problems: list[str] = []
        self.bytes = 0
        self.loaded = asyncio.Event()

    def _event(self, method: str, params: dict) -> None:
        match method:
            case "Page.loadEventFired":
                self.loaded.set()
            case "Runtime.exceptionThrown":
                detail = params["exceptionDetails"]
                self.problems.append(detail.get("exception", {}).get("description") or detail["text"])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                values = [str(one.get("value", one.get("description"))) for one in params["args"]]
                self.problems.append("console: " + " ".join(values))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.problems.append(f"log: {params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.loadingFinished":
                self.bytes += int(params["encodedDataLength"])

    async def call(self, method: str, params: dict | None = None) -> dict:
        return await self.browser.call(method, params, self.session)

    async def go(self, url: str) -> None:
        self.loaded.clear()
        await self.call("Page.navigate", {"url": url})
        async with asyncio.timeout(120):
            await self.loaded.wait()

    async def eval(self, expression: str):
        result = await self.call("Runtime.evaluate", {
            "expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True})
        if "exceptionDetails" in result:
            detail = result["exceptionDetails"]
            raise RuntimeError(detail.get("exception", {}).get("description") or detail["text"])
        return result["result"].get("value")

    async def until(self, expression: str, seconds: float = 60):
        """Waits until the expression is true, and returns its value; a failure says what it was instead."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            value = await self.eval(expression)
            if value:
                return value
            if asyncio.get_running_loop().time() > deadline:
                body = await self.eval("document.body.innerText")
                raise AssertionError(f"after {seconds} s still not: {expression}\nthe page says: {body[:1500]}")
            await asyncio.sleep(0.05)

    async def still(self) -> None:
        """Waits until everything that moves to a goal is there; what pulses for ever is not waited for."""
        await self.until("""document.getAnimations().every((one) => one.playState !== 'running'
            || one.effect.getComputedTiming().endTime === Infinity)""")

    async def text(self, selector: str) -> str:
        return await self.eval(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")

    async def scheme(self, dark: bool, reduced=False) -> None:
        await self.call("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if reduced else "no-preference"}]})

    async def key(self, key: str, *, shift=False) -> None:
        """Presses one key, as a keyboard does; a printable one types itself."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        base = {"key": key, "code": {" ": "Space"}.get(key, key), "modifiers": 8 if shift else 0,
                "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        await self.call("Input.dispatchKeyEvent", {"type": "keyDown" if text else "rawKeyDown", "text": text, **base})
        await self.call("Input.dispatchKeyEvent", {"type": "keyUp", **base})

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", {"text": text})

    async def focused(self) -> str:
        return await self.eval("document.activeElement?.id || document.activeElement?.ariaLabel "
                               "|| document.activeElement?.textContent || ''")

    async def tab_to(self, wanted: str, limit: int = 60) -> None:
        """Presses Tab until the element with that id or accessible label has the focus."""
        for _ in range(limit):
            if await self.focused() == wanted:
                return
            await self.key("Tab")
        raise AssertionError(f"Tab never reaches {wanted!r}; it ended at {await self.focused()!r}")

    async def click(self, selector: str) -> None:
        box = await self.eval(f"""(() => {{ const one = document.querySelector({json.dumps(selector)});
            one.scrollIntoView({{ block: 'center' }}); const box = one.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", {
                "type": kind, "x": box[0], "y": box[1], "button": "left", "clickCount": 1})

    async def shot(self, path, *, transparent=False, full=True) -> None:
        if transparent:
            await self.call("Emulation.setDefaultBackgroundColorOverride", {"color": {"r": 0, "g": 0, "b": 0, "a": 0}})
        image = await self.call("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": full})
        pathlib.Path(path).write_bytes(base64.b64decode(image["data"]))

