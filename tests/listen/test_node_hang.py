"""Node's event loop that stands still: where, and what nobody else can do to the worker meanwhile."""

import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import wsproto
import wsproto.events as ws
from harness import DEADLINE_S
from listen.fleet import Fleet, Member, app_of

from pidone.cli.trial import sockets
from pidone.ecosystem.spec import AppSpec

APP = """
function computes() { for (;;); }
function waits() { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }
function searches() { /^(a+)+$/.test('a'.repeat(50) + 'b'); }
Error.prepareStackTrace = () => { throw new Error('of the app'); };
let turns = 0;
setInterval(function turn() { turns += 1; }, 20);
const jobs = { computes, waits, searches, turns: () => process.send('turns') };
process.on('message', (name) => setImmediate(jobs[name]));
require('http').createServer().listen(+process.env.PORT);
"""


def watched(node: str, folder: Path, port: int, patience_s: float) -> AppSpec:
    """A worker whose loop has to turn."""
    (folder / "app.cjs").write_text(APP)
    env = {"PORT": str(port)}
    return app_of(node, str(folder / "app.cjs"), cluster=True, env=env).but(hang_timeout=patience_s)


def test_it_tells_where_it_stands(fleet: Fleet, node: str, port: int, tmp_path: Path) -> None:
    """All at once; however the app prepares its stacks; and its inspector is closed by then."""
    names = ("computes", "waits", "searches")
    workers = fleet.start_ready(watched(node, tmp_path, port, 0.6), len(names))
    for worker, name in zip(workers, names, strict=True):
        assert worker.handover.send(name)
    fleet.eventually(lambda: all(worker.heard("hung") for worker in workers), "all of them to be found")
    for worker, name in zip(workers, names, strict=True):
        ((why, stack),) = worker.heard("hung")
        assert "its event loop has not turned for 0.6 s" in why
        assert re.search(rf"\b{name} .*app\.cjs:\d", stack), stack
        assert "process.emit" not in stack
        assert not {each.port for each in sockets.of([worker.pid]) if each.listens} - {port}


def test_who_is_held_at_a_breakpoint_does_not_hang(
    fleet: Fleet, any_node: str, port: int, tmp_path: Path
) -> None:
    """Its user has opened the inspector by SIGUSR1; who does not know its secret address is not let in."""
    patience_s = 6.0  # half of it is what makes a signal one of the runtime's own
    (worker,) = fleet.start_ready(watched(any_node, tmp_path, port, patience_s))
    turned(fleet, worker)
    worker.signal(signal.SIGUSR1)
    fleet.eventually(lambda: "Debugger listening on" in worker.text(), "the inspector")
    found = re.search(r"ws://127\.0\.0\.1:(\d+)/(\S+)", worker.text())
    assert found
    host, secret = f"127.0.0.1:{found[1]}", found[2]
    for path in ("/json/list", "/json", "/json/version", "/"):
        assert refused(f"http://{host}{path}") == 404
    with Debugger(host, secret) as debugger:
        debugger.ask("Debugger.enable")
        debugger.ask("Debugger.setBreakpointByUrl", urlRegex=".*app.cjs", lineNumber=6, columnNumber=35)
        debugger.until("Debugger.paused")
        held_until = time.monotonic() + 1.2 * patience_s
        fleet.eventually(lambda: time.monotonic() > held_until, "more than its patience")
        assert not worker.heard("hung")
        assert worker.exit is None
        debugger.ask("Debugger.disable")
        debugger.until("")
    turned(fleet, worker)


def turned(fleet: Fleet, worker: Member) -> None:
    """Wait until it says that its loop turns."""
    before = len(worker.heard("message"))
    assert worker.handover.send("turns")
    fleet.eventually(lambda: len(worker.heard("message")) > before, "its answer")


def refused(url: str) -> int:
    """The status of an answer that is none."""
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
            raise AssertionError(f"{url}: {answer.read()}")
    except urllib.error.HTTPError as error:
        return error.code


class Debugger:
    """A client of the inspector: https://chromedevtools.github.io/devtools-protocol/v8/Debugger/."""

    def __init__(self, host: str, secret: str) -> None:
        name, _, port = host.partition(":")
        self._socket = socket.create_connection((name, int(port)), timeout=DEADLINE_S)
        self._wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._socket.sendall(self._wire.send(ws.Request(host=host, target=f"/{secret}")))
        self._number = 0
        self._text = ""
        while not self._events(ws.AcceptConnection):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, method: str, **parameters: object) -> None:
        """Send one question."""
        self._number += 1
        text = json.dumps({"id": self._number, "method": method, "params": parameters})
        self._socket.sendall(self._wire.send(ws.Message(data=text)))

    def until(self, method: str) -> "dict[str, Any]":
        """Read on until this is told; without a name, until the last question is answered."""
        while True:
            for event in self._events(ws.TextMessage):
                self._text += event.data
                if event.message_finished:
                    told: dict[str, Any] = json.loads(self._text)
                    self._text = ""
                    if told.get("method") == method or (not method and told.get("id") == self._number):
                        return told

    def _events(self, kind: "type[Any]") -> "list[Any]":
        """Those of one kind among what comes next."""
        data = self._socket.recv(65536)
        assert data, "it has hung up"
        self._wire.receive_data(data)
        return [event for event in self._wire.events() if isinstance(event, kind)]
