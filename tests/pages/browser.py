"""A headless Chromium, driven over its debugging pipe: what a page does when it is opened."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip


def find_browser():
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page at a time; ``with Browser(profile) as browser: browser.open(path)``.

    The pipe: null-terminated JSON, read by the browser on file 3 and written on file 4.
    """

    def __init__(self, profile: Path) -> None:
        self.profile, self.count, self.events, self.session = profile, 0, [], None

    def __enter__(self):
        read, self.to_browser = os.pipe()
        self.from_browser, write = os.pipe()

        def pipes():
            first, second = os.dup(read), os.dup(write)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self.process = subprocess.Popen(
            [find_browser(), *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
            preexec_fn=pipes,  # noqa: PLW1509 - files 3 and 4 are what the browser asks for
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self.stream = os.fdopen(self.from_browser, "rb")
        target = next(
            t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"
        )
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.stream.close()
        os.close(self.to_browser)

    def call(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self):
        found = bytearray()
        while (byte := self.stream.read(1)) != b"\0":
            assert byte, "the browser ended"
            found += byte
        message = json.loads(found)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, path, *, width=1200, dark=False, media="screen"):
        """Show a file; returns when it is loaded."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._read()

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self):
        """Messages in the console: errors, refused requests, broken scripts."""
        self.evaluate("0")
        said = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        return [event["params"] for event in self.events if event["method"] in said]

    def requests(self):
        """Addresses that were asked for, but for data in the page itself."""
        asked = [e for e in self.events if e["method"] == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in asked]
        return [url for url in urls if not url.startswith("data:")]

    def nameless(self):
        """Roles of pictures, buttons, links and tables that have no accessible name."""
        roles = {"img", "image", "button", "link", "table", "region", "graphics-document"}
        return [
            node["role"]["value"]
            for node in self.call("Accessibility.getFullAXTree")["nodes"]
            if not node.get("ignored") and node.get("role", {}).get("value") in roles
            and not node.get("name", {}).get("value")
        ]  # fmt: skip

    def screenshot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call(
            "Page.captureScreenshot", captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1},
        )  # fmt: skip
        Path(path).write_bytes(base64.b64decode(shot["data"]))
