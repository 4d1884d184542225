"""A real browser for tests: headless Chromium, spoken to over two pipes in its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ANSWER_S = 120
"""How long an answer may take; a machine that is busy is slow."""


def program() -> str | None:
    """The browser of this machine, if there is one."""
    return next((found for found in map(shutil.which, NAMES) if found), None)


needs_browser = pytest.mark.skipif(program() is None, reason="needs a browser: Chromium is not installed")


class Page:
    """A tab, with all that it said and asked for."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """One command of the protocol, and its answer."""
        return self.browser.call(method, self.session, self._heard, **params)

    def _heard(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(params["exceptionDetails"].get("exception", {}))[:500])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(json.dumps(params["args"])[:500])
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(params["entry"]["text"])

    def open(self, path: Path, width: int, height: int = 900) -> None:
        """Open a file in a window of this size, and wait until all of it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + ANSWER_S
        while self.run("document.readyState") != "complete" or self.run("location.href") == "about:blank":
            assert time.monotonic() < end, "the page is not there"
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path, whole: bool = True) -> None:
        """Write a PNG of the page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def outside(self) -> list[str]:
        """What was loaded, or asked for, from anywhere but the file and its own `data:` addresses."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "about:"))]


class Browser:
    """A browser that runs."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self.process, self.write, self.read = process, write, read
        self.number, self.rest = 0, b""

    def call(self, method: str, session: str = "", heard: Any = None, **params: Any) -> Any:
        """Send a command and wait for its answer; what comes before is heard."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self.write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + ANSWER_S
        while time.monotonic() < end:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            if heard is not None and answer.get("sessionId") == session:
                heard(answer)
        raise AssertionError(f"no answer to {method}")

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            part = os.read(self.read, 1 << 20)
            assert part, "the browser ended"
            self.rest += part
        one, _, self.rest = self.rest.partition(b"\0")
        found: dict[str, Any] = json.loads(one)
        return found

    def page(self) -> Page:
        """A new tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        return Page(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])


@contextmanager
def running() -> Iterator[Browser]:
    """A browser with an empty profile; it ends with the block."""
    to_browser, from_browser = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        line = [str(program()), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        line += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run", "--disable-extensions"]
        line += ["--disable-background-networking", "--disable-sync", "--disable-component-update"]
        # Chromium reads from descriptor 3 and writes to 4
        shell = f'exec 3<&{to_browser[0]} 4>&{from_browser[1]}; exec "$0" "$@"'
        process = subprocess.Popen(
            ["/bin/bash", "-c", shell, *line], pass_fds=(to_browser[0], from_browser[1]),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser[0])
        os.close(from_browser[1])
        try:
            yield Browser(process, to_browser[1], from_browser[0])
        finally:
            process.terminate()
            process.wait(30)
            os.close(to_browser[1])
            os.close(from_browser[0])
