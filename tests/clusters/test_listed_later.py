"""An app that binds its port itself is given that port by a file that is read again, and back."""

import contextlib
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from clusters.site import UNHURRIED, Site, get, node_app, running
from harness import eventually, free_port, pidone

_SERVER = """
import http.server, os, signal, socket, sys
exec(sys.argv[1])
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % os.getpid())
    def log_message(self, *args): pass
class Server(http.server.HTTPServer):
    address_family = socket.AF_INET6
server = Server(("::", int(os.environ["PORT"])), Answer, False)
if "LISTEN_FDS" in os.environ:
    server.socket = socket.socket(fileno=3)
else:
    server.server_bind()
    server.server_activate()
server.serve_forever()
"""
FORKS = "pid = os.fork()\nif pid: os.waitpid(pid, 0)"


def own(port: int, before: str = "", **keys: Any) -> dict[str, Any]:
    """A server that binds its port itself, with a descriptor for it or not."""
    app = {"name": "web", "script": sys.executable, "interpreter": "none", "args": ["-c", _SERVER, before]}
    return {**app, **UNHURRIED, "instances": 1, "env": {"PORT": str(port)}, "share": "none", **keys}


def _is_another(site: Site, count: int = 1) -> None:
    """The old process has gone before the first new one began, and all new ones are online."""
    site.run.expect(event="instance.online", app="web", count=1 + count)
    events = [record.get("event") for record in site.run.find(app="web")]
    order = [event for event in events if event in ("instance.start", "instance.exit")]
    assert order == ["instance.start", "instance.exit", *["instance.start"] * count]
    assert site.count("config.rejected") == 0


def _answer(port: int) -> int:
    """Whose process serves, once one does."""

    def asked() -> int | None:
        with contextlib.suppress(OSError):
            return int(get(port).split()[0])
        return None

    return eventually(asked, f"an answer at {port}")


@pytest.mark.parametrize("before", ["", FORKS], ids=["itself", "a child"])
def test_the_line_that_reload_recommends(tmp_path: Path, port: int, before: str) -> None:
    """The port is bound when whoever had it is gone; from then on old and new overlap at a reload."""
    with running(tmp_path, own(port, before)) as site:
        _answer(port)
        site.change(listen=[port])
        _is_another(site)
        site.reload()
        events = [str(each.get("event")) for each in site.run.find(app="web")]
        assert events.index("instance.exit", events.index("instance.exit") + 1) > _last(
            events, "instance.online"
        )


def _last(events: list[str], event: str) -> int:
    return len(events) - 1 - events[::-1].index(event)


@pytest.mark.parametrize("share", ["python", "kernel"])
def test_a_port_that_the_app_shall_choose(tmp_path: Path, port: int, share: str) -> None:
    """A port without a host is bound by the app's own bind(), which we answer."""
    with running(tmp_path, own(port)) as site:
        _answer(port)
        site.change(listen=[port], share=share, instances=2)
        _is_another(site, count=2)
        assert _answer(port) in site.pids()


def test_a_node_program(tmp_path: Path, node: str, port: int) -> None:
    """From fork mode to a listed port in a cluster, as every guide has it."""
    with running(tmp_path, node_app(node, port, exec_mode="fork", instances=1)) as site:
        _answer(port)
        site.change(exec_mode="cluster", listen=[port], instances=2)
        _is_another(site, count=2)
        assert _answer(port) in site.pids()


@pytest.mark.parametrize("kind", ["unix", "udp"])
def test_addresses_of_other_kinds(tmp_path: Path, port: int, kind: str) -> None:
    """A file of a socket, and datagrams."""
    path = tmp_path / "app.sock"
    code = {
        "unix": f"s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen()",
        "udp": f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', {port}))",
    }[kind]
    before = f"if 'LISTEN_FDS' not in os.environ: {code}\nprint('bound', flush=True)\nsignal.pause()"
    address = f"unix:{path}" if kind == "unix" else f"127.0.0.1:{port}/udp"
    with running(tmp_path, own(port, before)) as site:
        site.run.expect_line("bound")
        site.change(listen=[address])
        _is_another(site)


def test_one_port_more(tmp_path: Path, port: int) -> None:
    """Old and new could serve side by side, if the old one had not bound the other port itself."""
    other = free_port()
    before = f"s = socket.create_server(('127.0.0.1', {other})) if os.environ['LISTEN_FDS'] == '1' else 0"
    with running(tmp_path, own(port, before, listen=[f"[::]:{port}"])) as site:
        _answer(port)
        site.change(listen=[f"[::]:{port}", f"127.0.0.1:{other}"])
        _is_another(site)
        assert _answer(port) in site.pids()


def test_under_another_name(tmp_path: Path, port: int) -> None:
    """Who comes in the place of another app waits for its port."""
    with running(tmp_path, own(port)) as site:
        _answer(port)
        site.rename("web", "site", listen=[port])
        site.run.expect(event="instance.online", app="site")
        assert [_answer(port)] == site.pids("site")
        assert site.pids("web") == []


def test_named_by_a_command(tmp_path: Path, port: int) -> None:
    """`reload FILE` means the same as a file that is read again."""
    with running(tmp_path, own(port)) as site:
        _answer(port)
        site.apps["web"] |= {"listen": [port]}
        site._write()
        where = {"PIDONE_SOCKET": site.run.expect(event="control.listening")["address"]}
        with pidone("reload", str(tmp_path / "ecosystem.json"), env=where) as client:
            assert client.wait() == 0, client.err and client.err.text()
        _is_another(site)


def test_of_a_user_whose_descriptors_are_not_shown(root: None, open_path: Path, port: int) -> None:
    """As in Docker, whose root may not look into processes of others (CAP_SYS_PTRACE)."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    user = 200_000 + os.getpid()  # whose processes are this app's alone, whatever other tests run
    app = own(port, uid=user, gid=user, cwd="/") | {"script": "/usr/bin/python3"}
    with running(open_path, app, prefix=["setpriv", "--bounding-set=-sys_ptrace"]) as site:
        _answer(port)
        site.change(listen=[port])
        _is_another(site)


def test_until_somebody_else_has_it(tmp_path: Path, port: int) -> None:
    """Who takes the port in the moment between has it; the app tries on, and says why."""
    closes = "if 'LISTEN_FDS' not in os.environ:\n    signal.signal("
    closes += "signal.SIGTERM, lambda *_: (server.server_close(), signal.pause()))"
    with running(tmp_path, own(port, closes)) as site:
        _answer(port)
        (pid,) = site.pids()
        site.change(listen=[port])
        site.run.expect(event="instance.stop")
        with eventually(lambda: _taken(port), "its port to be free"):
            os.kill(pid, signal.SIGKILL)
            said = site.run.expect(event="instance.spawn_failed")
            assert f"{port}: already in use by process {os.getpid()}" in said["message"]
        site.run.expect(event="instance.online", count=2)


def _taken(port: int) -> socket.socket | None:
    try:
        return socket.create_server(("", port), family=socket.AF_INET6)
    except OSError:
        return None


def test_of_somebody_else(tmp_path: Path, port: int) -> None:
    """As before: the file is refused, in the words for that, and the app serves on."""
    other = free_port()
    with running(tmp_path, own(port)) as site, socket.create_server(("127.0.0.1", other)):
        _answer(port)
        site.change(listen=[f"127.0.0.1:{other}"])
        said = site.run.expect(event="config.rejected")
        assert f"{other}: already in use by process {os.getpid()}" in str(said)
        site.apps["web"].pop("listen")
        assert [_answer(port)] == site.pids()


def test_of_another_app_that_stays(tmp_path: Path, port: int) -> None:
    """It keeps its port; and nothing has changed for either."""
    other = free_port()
    with running(tmp_path, own(port), own(other, name="second")) as site:
        _answer(port), _answer(other)
        site.change(listen=[other])
        said = site.run.expect(event="config.rejected")
        (pid,) = site.pids("second")
        assert f"{other}: already in use by process {pid}" in str(said)
        assert [_answer(port)] == site.pids()
        site.apps["web"].pop("listen")


def test_and_back(tmp_path: Path, port: int) -> None:
    """What is not listed any more is free when the app binds it itself, also if we never came to bind it."""
    with running(tmp_path, own(port, listen=[port])) as site:
        _answer(port)
        site.change(listen=[])
        _is_another(site)
        assert [_answer(port)] == site.pids()
        site.change(listen=[port])
        site.change(listen=[])
        site.run.signal(signal.SIGHUP)
        eventually(lambda: site.count("config.reload") >= 2, "the file to be read")
        eventually(lambda: _answer(port) in site.pids(), "one of its own")
