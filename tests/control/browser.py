"""A headless Chromium, driven over its debugging pipe (Chrome DevTools Protocol), without a driver."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import DEADLINE_S, children, eventually

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


_PATIENCE_S = 90
"""A browser on a machine that others use too."""
_KEYS = {"Tab": ("", 9), "Enter": ("\r", 13), "ArrowLeft": ("", 37), "ArrowRight": ("", 39)}
"""Keys that a browser acts on by itself need what they type and Windows' number for them."""


class Browser:
    """One page."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._partial = b""
        self._count = 0
        self._session = ""
        self._target = ""
        self.complaints: list[str] = []
        """Errors and violations of the page's policy, as the console told them."""

    def open(self, url: str, *, width: int, height: int, dark: bool = False, before: str = "") -> None:
        """Load a page in place of the one before; the script `before` runs first."""
        self._session = ""
        last, self._target = self._target, self.call("Target.createTarget", url="about:blank")["targetId"]
        if last:
            self.call("Target.closeTarget", targetId=last)
        self._session = self.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        if before:
            self.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Evaluate an expression; its JSON value."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true."""
        return eventually(lambda: self.run(script), script, _PATIENCE_S, every=0.05)

    def press(self, key: str) -> None:
        """One key, by its name or as a character."""
        text, code = (key, 0) if len(key) == 1 else _KEYS.get(key, ("", 0))
        for kind in ("keyDown", "keyUp"):
            typed = text if kind == "keyDown" else ""
            self.call("Input.dispatchKeyEvent", type=kind, key=key, text=typed, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path) -> None:
        """What it looks like."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def call(self, method: str, **params: Any) -> Any:
        """One command and its result; events that come meanwhile are noted."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.complaints.append(json.dumps(answer["params"]))

    def _next(self) -> Any:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._partial:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            self._partial += os.read(self._answers, 1 << 20)
        line, _, self._partial = self._partial.partition(b"\0")
        return json.loads(line)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Start and stop one."""
    assert CHROMIUM is not None
    before = set(children(os.getpid()))
    theirs, ours = os.pipe()
    answers, out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = "--headless=new --no-sandbox --disable-gpu --no-zygote --remote-debugging-pipe"
        flags += f" --user-data-dir={profile}"
        script = f"exec {CHROMIUM} {flags} 3<&{theirs} 4>&{out}"
        process = subprocess.Popen(
            ["bash", "-c", script],
            pass_fds=(theirs, out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(out)
        page = Browser(ours, answers)
        try:
            yield page
        finally:
            page._session = ""
            page.call("Browser.close")
            process.wait(DEADLINE_S)
            for pid in set(children(os.getpid())) - before:  # its crash handlers, which it has disowned
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            os.close(ours)
            os.close(answers)
