"""Draining Node workers: whoever is connected gets an answer, keep-alive or not, with or without handlers."""

import asyncio
import signal
from pathlib import Path

import pytest
from listen.fleet import Client, Fleet, Member, app_of, fetch, python_app

SLOW = """
require('net').connect(require('net').createServer().listen({ port: 0, exclusive: true }).address().port);
require('http').createServer((request, response) => {
  if (request.url === '/slow') console.log('asked');
  setTimeout(() => response.end(String(process.pid)), request.url === '/slow' ? 300 : 0);
}).listen(+process.env.PORT);
"""


async def asked_slowly(worker: Member, port: int) -> asyncio.Task[str]:
    """A request that the worker has begun to answer."""
    slow = asyncio.create_task(fetch(port, "/slow"))
    while "asked" not in worker.text():  # noqa: ASYNC110 (it happens in another process)
        await asyncio.sleep(0.005)
    return slow


def replace(fleet: Fleet, old: Member) -> Member:
    """Start a new one in the slot, wait for it, drain the old one, stop it."""
    new = fleet.start(old.app, old.who.index)
    fleet.ready(new)
    assert old.handover.drain()
    fleet.eventually(lambda: old.heard("drained") or old.exit is not None, "the drain")
    if old.exit is None:
        old.signal(signal.SIGTERM)
    fleet.gone(old)
    return new


def test_keep_alive_clients_survive_a_replacement(fleet: Fleet, node: str, port: int, tmp_path: Path) -> None:
    """Clients that keep their connection are told to reconnect; not one request fails."""
    script = tmp_path / "app.cjs"
    script.write_text(SLOW)
    workers = fleet.start_ready(app_of(node, str(script), cluster=True, env={"PORT": str(port)}), 2)
    clients = [Client(port) for _ in range(8)]
    work = [fleet.loop.create_task(client.work()) for client in clients]
    fleet.eventually(lambda: all(len(client.answers) > 10 for client in clients), "answers")
    new = [replace(fleet, worker) for worker in workers]
    marks = [len(client.answers) for client in clients]
    fleet.eventually(
        lambda: all(len(client.answers) > mark + 10 for client, mark in zip(clients, marks, strict=True)),
        "more",
    )
    for client in clients:
        client.is_done = True
    fleet.run(asyncio.gather(*work))
    pids = {str(worker.pid) for worker in new}
    assert all(set(client.answers[-5:]) <= pids for client in clients)


def test_request_in_progress_is_finished(fleet: Fleet, any_node: str, port: int, tmp_path: Path) -> None:
    """A slow answer is waited for; idle connections, and those that never spoke, are cut after a while."""
    script = tmp_path / "app.cjs"
    script.write_text(SLOW)
    app = app_of(any_node, str(script), cluster=True, env={"PORT": str(port)}, drain_timeout=2.0)
    (worker,) = fleet.start_ready(app)

    async def scenario() -> tuple[str, bytes]:
        silent, silent_writer = await asyncio.open_connection("127.0.0.1", port)
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        idle_writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        await idle.readuntil(b"\r\n\r\n")
        slow = await asked_slowly(worker, port)
        worker.handover.drain()
        answer = await slow
        rest = await idle.read() + await silent.read()
        silent_writer.close()
        idle_writer.close()
        await idle_writer.wait_closed()
        return answer, rest

    answer, _ = fleet.run(scenario())
    assert answer == str(worker.pid)
    assert fleet.gone(worker) == 0, "an app without a handler is not cut by a signal"
    assert not worker.heard("drained")


def test_a_worker_that_computed_cuts_nobody(fleet: Fleet, any_node: str, port: int, tmp_path: Path) -> None:
    """While it got to nothing for longer than silence is borne, clients have spoken: that is read first."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      require('http').createServer((request, response) => {
        if (request.url === '/compute') {
          console.log('computing');
          for (const begun = Date.now(); Date.now() - begun < 800;);
        }
        response.end('ok');
      }).listen(+process.env.PORT);
    """)
    app = app_of(any_node, str(script), cluster=True, env={"PORT": str(port)}, drain_timeout=2.4)
    (worker,) = fleet.start_ready(app)

    async def scenario() -> list[bytes]:
        late, late_writer = await asyncio.open_connection("127.0.0.1", port)
        busy, busy_writer = await asyncio.open_connection("127.0.0.1", port)
        kept, kept_writer = await asyncio.open_connection("127.0.0.1", port)
        worker.handover.drain()
        head = b""
        while b"connection: close" not in head.lower():  # the drain has begun
            kept_writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            head = await kept.readuntil(b"\r\n\r\n")
        busy_writer.write(b"GET /compute HTTP/1.1\r\nHost: test\r\n\r\n")
        while "computing" not in worker.text():  # noqa: ASYNC110 (it happens in another process)
            await asyncio.sleep(0.005)
        late_writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        answers = [await late.read(), await busy.read()]
        for writer in (late_writer, busy_writer, kept_writer):
            writer.close()
        return answers

    assert [answer[:12] for answer in fleet.run(scenario())] == [b"HTTP/1.1 200", b"HTTP/1.1 200"]
    assert fleet.gone(worker) == 0


def test_own_close_after_drain_is_no_error(fleet: Fleet, any_node: str, port: int, tmp_path: Path) -> None:
    """An app whose handler closes its server, as everybody's does, ends with its own exit code."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const server = require('http').createServer((request, response) => response.end('ok'));
      process.on('SIGTERM', () => server.close((error) => process.exit(error ? 1 : 0)));
      server.listen(+process.env.PORT);
    """)
    (worker,) = fleet.start_ready(app_of(any_node, str(script), cluster=True, env={"PORT": str(port)}))
    worker.handover.drain()
    fleet.eventually(lambda: worker.heard("drained"), "the report")
    worker.signal(signal.SIGTERM)
    assert fleet.gone(worker) == 0


def test_websockets_are_left_to_the_app(fleet: Fleet, any_node: str, port: int, tmp_path: Path) -> None:
    """An upgraded connection does not hold up the drain: saying goodbye on it is the app's own stop."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const server = require('http').createServer();
      server.on('upgrade', (request, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: x\\r\\nConnection: Upgrade\\r\\n\\r\\n');
        process.on('SIGTERM', () => socket.end('goodbye', () => process.exit(0)));
      });
      server.listen(+process.env.PORT);
    """)
    (worker,) = fleet.start_ready(app_of(any_node, str(script), cluster=True, env={"PORT": str(port)}))

    async def scenario() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        worker.handover.drain()
        while not worker.heard("drained"):  # noqa: ASYNC110 (it happens in another process)
            await asyncio.sleep(0.005)
        worker.signal(signal.SIGTERM)
        rest = await reader.read()
        writer.close()
        await writer.wait_closed()
        return rest

    assert fleet.run(scenario()) == b"goodbye"
    assert fleet.gone(worker) == 0


def test_drain_without_preload(fleet: Fleet, any_node: str, port: int, tmp_path: Path) -> None:
    """Where Node was started without the preload, disconnecting the worker drains it."""
    script = tmp_path / "app.cjs"
    script.write_text(SLOW)
    (worker,) = fleet.start_ready(app_of(any_node, str(script), cluster=True, env={"PORT": str(port)}))
    assert worker.handover._ipc is not None
    worker.handover._ipc._has_preload = False

    async def scenario() -> str:
        slow = await asked_slowly(worker, port)
        worker.handover.drain()
        return await slow

    assert fleet.run(scenario()) == str(worker.pid)
    fleet.eventually(lambda: worker.heard("drained"), "the end of the channel")


@pytest.mark.parametrize(
    "handler", ["", "process.on('SIGTERM', () => setTimeout(() => process.exit(0), 500));"]
)
def test_told_to_stop_while_it_starts(
    fleet: Fleet, any_node: str, port: int, tmp_path: Path, handler: str
) -> None:
    """A replacement that is not wanted any more gets no socket: the old process answers every request."""
    script = tmp_path / "app.cjs"
    script.write_text(SLOW)
    (old,) = fleet.start_ready(app_of(any_node, str(script), cluster=True, env={"PORT": str(port)}))
    late = tmp_path / "late.cjs"
    late.write_text(
        "console.log('begins'); for (const end = Date.now() + 700; Date.now() < end;);" + SLOW + handler
    )
    new = fleet.start(app_of(any_node, str(late), cluster=True, env={"PORT": str(port)}), 1)
    fleet.eventually(lambda: "begins" in new.text(), "the program")
    assert new.handover.drain()
    seen: set[str] = set()

    def stopped() -> bool:
        seen.update(fleet.get_many(port, 20))
        if new.heard("drained") and new.exit is None:
            new.signal(signal.SIGTERM)
        return new.exit is not None

    fleet.eventually(stopped, "the end")
    assert new.exit == 0, new.text()
    assert seen == {str(old.pid)}
    assert not new.heard("ready")


def test_python_told_to_stop_while_it_starts(fleet: Fleet, port: int) -> None:
    """The same through the shim, for a program that handles its stop late."""
    code = """
import http.server, os, signal, sys, time
ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(1))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
print("begins", flush=True)
time.sleep(float(sys.argv[1]))
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
server.timeout = 0.05
for _ in range(int(sys.argv[2])):
    server.handle_request()
"""
    (old,) = fleet.start_ready(python_app(code, "0", "10000", share="python", env={"PORT": str(port)}))
    new = fleet.start(python_app(code, "0.5", "20", share="python", env={"PORT": str(port)}), 1)
    fleet.eventually(lambda: "begins" in new.text(), "the program")
    new.handover.drain()
    new.signal(signal.SIGTERM)
    seen: set[str] = set()

    def stopped() -> bool:
        seen.update(fleet.get_many(port, 20))
        return new.exit is not None

    fleet.eventually(stopped, "the end")
    assert seen == {str(old.pid)}
    assert not new.heard("ready")


@pytest.mark.parametrize("alarm", [False, True], ids=["free", "taken"])
def test_python_stops_where_no_thread_can_be_started(fleet: Fleet, port: int, *, alarm: bool) -> None:
    """Too many processes, or clone3 refused: what is in progress is finished, unless the timer is taken."""
    code = """
import _thread, http.server, os, signal, time
def refuse(*_): raise RuntimeError("can't start new thread")
_thread.start_new_thread = refuse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            print("asked", flush=True)
            while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
                time.sleep(0.01)  # until it has been told to stop
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
if %r: signal.signal(signal.SIGALRM, lambda *_: None)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
    (worker,) = fleet.start_ready(python_app(code % alarm, share="python", env={"PORT": str(port)}))

    async def scenario() -> str:
        slow = await asked_slowly(worker, port)
        worker.signal(signal.SIGTERM)
        try:
            return await slow
        except (OSError, EOFError, IndexError, ValueError):
            return "cut"

    assert fleet.run(scenario()) == ("cut" if alarm else str(worker.pid))
    fleet.gone(worker)
    assert worker.exit == -signal.SIGTERM
    assert "Traceback" not in worker.text()
