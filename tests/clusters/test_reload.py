"""Rolling reloads of the real thing under load: not one request fails, whoever serves and whoever asks."""

import importlib.util
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import npm
import pytest
from clusters.load import Load
from clusters.site import get, node_app, python_app, running

UVICORN = ("-m", "uvicorn", "--no-access-log", "--log-level", "warning", "asgi:app")
HYPERCORN = ("-m", "hypercorn", "--log-level", "warning", "asgi:app")
GUNICORN = ("-m", "gunicorn", "--no-control-socket", "--log-level", "warning", "wsgi:app")


def reload_under_load(folder: Path, app: dict[str, Any], port: int, *, keep_alive: bool) -> None:
    """Reload while clients ask; the answers come from the newest at the end, and none is missing."""
    with running(folder, app) as site, Load(port, keep_alive=keep_alive) as load:
        load.more(100)
        assert site.reload()["replaced"] == app["instances"]
        load.more(100)
        assert load.finish() == []
        assert {body.split()[1] for body in load.bodies} == {"0", "1"}
        assert len(site.pids()) == app["instances"]
        assert site.count("instance.kill") == 0


def server(name: str) -> None:
    """Skip if a Python server is not installed."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize(("balance", "keep_alive"), [("shared", False), ("spread", True), ("source", False)])
def test_node(tmp_path: Path, node: str, port: int, balance: str, *, keep_alive: bool) -> None:
    """An unmodified Node server loses nothing, whatever the balance."""
    reload_under_load(tmp_path, node_app(node, port, balance=balance), port, keep_alive=keep_alive)


@pytest.mark.parametrize("version", npm.NODES)
def test_every_node(tmp_path: Path, port: int, version: str) -> None:
    """The same with each supported version, and clients that keep their connection."""
    app = node_app(npm.node(version), port)
    reload_under_load(tmp_path, app, port, keep_alive=True)


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_uvicorn(tmp_path: Path, port: int, *, keep_alive: bool) -> None:
    """An unmodified uvicorn loses nothing."""
    server("uvicorn")
    app = python_app(*UVICORN, "--port", str(port), port=port, share="python")
    reload_under_load(tmp_path, app, port, keep_alive=keep_alive)


def test_uvicorn_with_a_queue_per_slot(tmp_path: Path, port: int) -> None:
    """The queue of a slot survives its process."""
    server("uvicorn")
    app = python_app(*UVICORN, "--port", str(port), port=port, share="python", balance="spread")
    reload_under_load(tmp_path, app, port, keep_alive=False)


def test_uvicorn_with_an_fd(tmp_path: Path, port: int) -> None:
    """`{fd}` in the arguments is the socket, and it drains as with the shim."""
    server("uvicorn")
    app = python_app(*UVICORN, "--fd", "{fd}", port=port, listen=[port], ready_delay=0.5)
    reload_under_load(tmp_path, app, port, keep_alive=True)


def test_gunicorn(tmp_path: Path, port: int) -> None:
    """An unmodified gunicorn that binds by itself loses nothing."""
    server("gunicorn")
    app = python_app(*GUNICORN, "-b", f"127.0.0.1:{port}", port=port, share="python")
    reload_under_load(tmp_path, app, port, keep_alive=True)


def test_gunicorn_by_socket_activation(tmp_path: Path, port: int) -> None:
    """A server that speaks LISTEN_FDS takes the socket, and believes LISTEN_PID."""
    server("gunicorn")
    app = python_app(*GUNICORN, port=port, listen=[f"127.0.0.1:{port}"], ready_delay=0.5)
    reload_under_load(tmp_path, app, port, keep_alive=False)


@pytest.mark.parametrize(("program", "keep_alive"), [("flask", True), ("aiohttp", True), ("http", False)])
def test_programs_with_a_server_of_their_own(
    tmp_path: Path, port: int, program: str, *, keep_alive: bool
) -> None:
    """`app.run(port=...)` shares its port without a change, and loses nothing."""
    server(program)
    app = python_app(f"{program}_app.py", port=port, share="python")
    reload_under_load(tmp_path, app, port, keep_alive=keep_alive)


@pytest.mark.parametrize(
    ("loop", "workers", "keep_alive"),
    [("asyncio", "2", True), ("uvloop", "0", False)],
)
def test_hypercorn(tmp_path: Path, port: int, loop: str, workers: str, *, keep_alive: bool) -> None:
    """An unmodified hypercorn loses nothing, with and without worker processes of its own."""
    server("hypercorn")
    server("uvloop")
    own = ("-k", loop, "-w", workers, "-b", f"127.0.0.1:{port}")
    app = python_app(*HYPERCORN, *own, port=port, share="python", listen_timeout=15_000)
    reload_under_load(tmp_path, app, port, keep_alive=keep_alive)


def test_hypercorn_with_an_fd(tmp_path: Path, port: int) -> None:
    """`fd://{fd}` is the socket, and it drains as with the shim."""
    server("hypercorn")
    app = python_app(*HYPERCORN, "-b", "fd://{fd}", port=port, listen=[port], ready_delay=0.5)
    reload_under_load(tmp_path, app, port, keep_alive=True)


def test_waitress(tmp_path: Path, port: int) -> None:
    """An unmodified waitress loses nothing."""
    server("waitress")
    app = python_app("-m", "waitress", f"--listen=127.0.0.1:{port}", "wsgi:app", port=port, share="python")
    reload_under_load(tmp_path, app, port, keep_alive=True)


@pytest.mark.parametrize("kill_signal", ["SIGTERM", "SIGINT"])
def test_a_response_in_progress(tmp_path: Path, port: int, kill_signal: str) -> None:
    """A program without a handler finishes what it has begun, whichever signal stops it."""
    when = tmp_path / "now"
    app = python_app("http_app.py", port=port, share="python", kill_signal=kill_signal, instances=1)
    app["env"]["ANSWER_WHEN"] = str(when)
    with running(tmp_path, app) as site, ThreadPoolExecutor() as pool:
        (old,) = site.pids()
        answer = pool.submit(get, port, "/slow")
        site.run.expect(message="asked")
        site.change(env={"GENERATION": "1"})
        site.run.expect(event="instance.stop")
        when.touch()
        site.run.expect(event="app.reloaded")
        assert answer.result() == f"{old} 0"
        site.run.expect(event="instance.exit")
        assert site.count("instance.kill") == 0


def test_a_response_without_end(tmp_path: Path, port: int) -> None:
    """A stream that never ends holds up neither the stop of its process nor makes it a kill."""
    # The stream gets four fifths of the time; a busy machine has to end the process in the last one.
    app = python_app("http_app.py", port=port, share="python", kill_timeout=5000, instances=1)
    with running(tmp_path, app) as site, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.recv(100)
        site.reload()
        assert site.count("instance.kill") == 0


def test_node_without_a_handler_exits_by_itself(tmp_path: Path, node: str, port: int) -> None:
    """An app that does not listen to SIGTERM is not cut by it: its exit handlers run, and its code is 0."""
    with running(tmp_path, node_app(node, port, script="farewell.cjs")) as site:
        site.reload()
        site.run.expect(message="farewell", count=3)
    assert {record["code"] for record in site.run.find(event="instance.exit")} == {0}
    assert len(site.run.find(message="farewell")) == 6
    assert not site.run.find(event="instance.stop")


def test_node_with_a_handler_gets_its_signal(tmp_path: Path, node: str, port: int) -> None:
    """An app that handles SIGTERM gets it after the drain, and ends as it likes."""
    with running(tmp_path, node_app(node, port, script="farewell.cjs", env={"HANDLE": "yes"})) as site:
        site.reload()
        site.run.expect(message="handled", count=3)
    assert {record["code"] for record in site.run.find(event="instance.exit")} == {7}
    assert not site.run.find(message="farewell")
