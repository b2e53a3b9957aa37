"""Python servers whose loop, or only thread, stands still: found, with the place where they stand."""

import asyncio
import importlib.util
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness import state
from listen.fleet import Fleet, Member, app_of, fetch, python_app

STUCK = """
import os, sys, time
LONG_S = float(os.environ["LONG_S"])
def stuck():
    time.sleep(600)
def held():
    import pdb, socket
    with socket.create_connection(("127.0.0.1", int(os.environ["PDB"]))) as talk, talk.makefile("rw") as file:
        pdb.Pdb(stdin=file, stdout=file, nosigint=True).set_trace()
        file.flush()
"""
ASGI = """
import asyncio
from manners import *
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["path"] == "/hang":
        stuck()
    if scope["path"] == "/breakpoint":
        held()
    if scope["path"] == "/slow":
        await asyncio.sleep(LONG_S)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"up"})
"""
WSGI = """
from manners import *
def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        stuck()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/slow":
        return (time.sleep(LONG_S / 20) or b"." for _ in range(20))
    return [b"up"]
"""
WSGIREF = """
from wsgiref.simple_server import make_server
from wsgi import app
make_server("127.0.0.1", int(__import__("sys").argv[1]), app).serve_forever()
"""
AIOHTTP = """
import asyncio
from aiohttp import web
from manners import *
async def root(request):
    if request.path == "/hang":
        stuck()
    if request.path == "/slow":
        await asyncio.sleep(LONG_S)
    return web.Response(text="up")
app = web.Application()
app.router.add_get("/{any:.*}", root)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
"""
SERVERS = {
    "uvicorn asyncio": ("uvicorn", ["-m", "uvicorn", "--loop", "asyncio", "--port", "{port}", "asgi:app"]),
    "uvicorn uvloop": ("uvloop", ["-m", "uvicorn", "--loop", "uvloop", "--port", "{port}", "asgi:app"]),
    "hypercorn": ("hypercorn", ["-m", "hypercorn", "-b", "127.0.0.1:{port}", "asgi:app"]),
    "aiohttp": ("aiohttp", ["aio.py", "{port}"]),
    "wsgiref": ("wsgiref", ["ref.py", "{port}"]),
    "waitress": ("waitress", ["-m", "waitress", "--threads=1", "--listen=127.0.0.1:{port}", "wsgi:app"]),
}
PATIENCE_S = 1.2


def start(fleet: Fleet, port: int, tmp_path: Path, kind: str, **env: object) -> tuple[Member, float]:
    """One process, ready, and its patience in seconds."""
    module, argv = SERVERS[kind]
    patience = 2 * PATIENCE_S if kind == "waitress" else PATIENCE_S  # whose loop turns once a second
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    for name, text in (
        *(("manners", STUCK), ("asgi", ASGI), ("wsgi", WSGI)),
        *(("ref", WSGIREF), ("aio", AIOHTTP)),
    ):
        (tmp_path / f"{name}.py").write_text(text)
    words = [word.replace("{port}", str(port)) for word in argv]
    app = app_of(sys.executable, *words, cwd=str(tmp_path), cluster=True, hang_timeout=patience)
    variables = {name: str(value) for name, value in env.items()}
    (member,) = fleet.start_ready(app.but(env={"LONG_S": str(1.5 * patience), **variables}))
    return member, patience


@pytest.mark.parametrize("kind", SERVERS)
def test_it_is_found_with_its_stack(fleet: Fleet, port: int, tmp_path: Path, kind: str) -> None:
    """The loop stands still, or the only thread and somebody waits for it: told once, with every frame."""
    server, patience = start(fleet, port, tmp_path, kind)
    assert fleet.get(port) == "up"

    asking = [fleet.loop.create_task(fetch(port, "/hang")) for _ in range(2)]
    fleet.eventually(lambda: server.heard("hung"), "it to be found")
    for task in asking:
        task.cancel()
    fleet.run(asyncio.gather(*asking, return_exceptions=True))
    ((why, stack),) = server.heard("hung")
    assert f"no progress for {patience:g} s" in why
    assert "in stuck" in stack
    assert "manners.py" in stack
    server.handover.leave()
    server.signal(signal.SIGKILL)


@pytest.mark.parametrize("kind", ["uvicorn asyncio", "wsgiref", "waitress"])
def test_what_only_looks_like_it_is_left_alone(fleet: Fleet, port: int, tmp_path: Path, kind: str) -> None:
    """An idle one, one that was stopped, one whose only thread answers for longer than the patience."""
    server, patience = start(fleet, port, tmp_path, kind)
    fleet.get(port)
    server.signal(signal.SIGSTOP)
    fleet.eventually(lambda: state(server.pid) == "T", "it to stand still")
    fleet.run(asyncio.sleep(1.5 * patience))
    server.signal(signal.SIGCONT)
    fleet.get(port, "/slow")
    fleet.run(asyncio.sleep(1.5 * patience))
    assert not server.heard("hung")
    assert fleet.get(port)
    server.signal(signal.SIGTERM)
    fleet.gone(server)
    assert not server.heard("hung")


def test_who_is_held_by_a_debugger_does_not_hang(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """At a breakpoint that came while it ran; what stands still afterwards is found as ever."""
    with socket.create_server(("127.0.0.1", 0)) as waiting:
        server, patience = start(fleet, port, tmp_path, "uvicorn asyncio", PDB=waiting.getsockname()[1])
        asking = fleet.loop.create_task(fetch(port, "/breakpoint"))
        waiting.setblocking(False)
        person, _ = fleet.run(fleet.loop.sock_accept(waiting))
        with person:
            person.setblocking(False)
            assert b"held" in fleet.run(fleet.loop.sock_recv(person, 1000))
            fleet.run(asyncio.sleep(3 * patience))
            assert not server.heard("hung")
            fleet.run(fleet.loop.sock_sendall(person, b"continue\n"))
            assert fleet.run(asking) == "up"
    asking = fleet.loop.create_task(fetch(port, "/hang"))
    fleet.eventually(lambda: server.heard("hung"), "it to be found")
    asking.cancel()
    fleet.run(asyncio.gather(asking, return_exceptions=True))
    server.handover.leave()
    server.signal(signal.SIGKILL)


LIAR = """
import json, os, socket, sys, time
given = dict(pair.split("=", 1) for pair in open("/proc/self/environ").read().split("\\0") if pair)
address, seconds = given["PIDONE_HEARTBEAT"].split()
ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
stack, answers = os.pipe()
for number in (9, 63):
    hello = {"pid": int(sys.argv[1]), "thread": os.getpid(), "signal": number, "debugged": False}
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, stack.to_bytes(4, sys.byteorder))]
    ours.sendmsg([json.dumps(hello).encode()], rights, 0, "\\0" + address[1:])
    print("said", flush=True)
time.sleep(600)
"""


def test_nobody_has_another_process_signalled(fleet: Fleet) -> None:
    """Which process is meant the kernel says, and the signal is none that a program knows."""
    with subprocess.Popen(["sleep", "600"]) as victim:
        try:
            app = python_app(LIAR, str(victim.pid), cluster=True, hang_timeout=0.5)
            liar = fleet.start(app)
            fleet.eventually(lambda: liar.text().count("said") == 2, "it to lie")
            liar.handover.online()
            fleet.eventually(lambda: liar.heard("hung") or liar.exit is not None, "its own heartbeat to stop")
            assert victim.poll() is None
        finally:
            victim.kill()
