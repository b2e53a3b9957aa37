"""An app that a file calls otherwise keeps its port: who goes leaves it to who comes."""

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Final

import harness
import pytest
from clusters.load import Load
from clusters.site import Site, get, node_app, python_app, running

SERVER = (
    "import http.server, os, time; time.sleep({late}); "
    "http.server.BaseHTTPRequestHandler.do_GET = lambda it: (it.send_response(200), it.end_headers(), "
    "it.wfile.write(b'%d' % os.getpid())); "
    "http.server.HTTPServer(('127.0.0.1', {port}), http.server.BaseHTTPRequestHandler).serve_forever()"
)


def server(port: int, late: float = 0, **keys: Any) -> dict[str, Any]:
    """A server of the standard library, which binds its port by itself."""
    return python_app("-c", SERVER.format(port=port, late=late), port=port, instances=1, **keys)


@pytest.mark.parametrize("balance", ["shared", "spread"])
def test_a_cluster_under_load(tmp_path: Path, node: str, port: int, balance: str) -> None:
    """A Node cluster under another name: not one request fails; the old one goes when the new one serves."""
    app = node_app(node, port, balance=balance, instances=2)
    with running(tmp_path, app) as site, Load(port, keep_alive=False) as load:
        load.more(100)
        site.rename("web", "site")
        site.run.expect(event="instance.exit", app="web", count=2)
        load.more(100)
        assert load.finish() == []
        assert not site.pids("web")
        assert int(get(port).split()[0]) in site.pids("site")
        assert site.count("instance.kill") == 0
        assert site.count("listen.failed") == 0


def test_a_listed_port_with_fewer_instances_and_another_one(tmp_path: Path, node: str, port: int) -> None:
    """What only the old one had is closed with it; what both have answers all the time."""
    other = harness.free_port()
    listen = [f":{port}"]
    app = node_app(node, port, balance="spread", listen=[*listen, f"127.0.0.1:{other}"])
    with running(tmp_path, app) as site, Load(port, keep_alive=False) as load:
        load.more(50)
        site.rename("web", "site", instances=1, listen=listen)
        site.run.expect(event="instance.exit", app="web", count=3)
        load.more(50)
        assert load.finish() == []

        def is_closed() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", other)) != 0

        harness.eventually(is_closed, "the end of what nobody names")


def test_a_new_one_that_does_not_start(tmp_path: Path, port: int) -> None:
    """The old one serves until a file has mended that, and through a restart of its own."""
    listen = [f"127.0.0.1:{port}"]
    with running(tmp_path, server(port, listen=listen, share="python")) as site:
        before = get(port)
        site.rename("web", "site", args=["-c", "raise SystemExit(1)"])
        site.run.expect(event="instance.exit", app="site", count=2)
        assert get(port) == before
        (old,) = site.pids("web")
        assert str(old) == before
        os.kill(old, signal.SIGKILL)
        site.run.expect(event="instance.online", app="web", count=2)
        assert get(port) != before
        site.change("site", args=["-c", SERVER.format(port=port, late=0)])
        site.run.expect(event="config.reload", removed=[], count=1)
        site.run.expect(event="instance.exit", app="web", count=2)
        assert get(port) == str(site.pids("site")[0])


def test_the_new_one_is_stopped(tmp_path: Path, port: int) -> None:
    """Before it is ready, by a person: nobody wants the old one either, which the file does not name."""
    listen = [f"127.0.0.1:{port}"]
    with running(tmp_path, server(port, listen=listen, share="python")) as site:
        site.rename("web", "site", args=["-c", SERVER.format(port=port, late=1000)])
        site.run.expect(event="instance.start", app="site")
        where = {"PIDONE_SOCKET": site.run.expect(event="control.listening")["address"]}
        subprocess.run([harness.PIDONE, "stop", "site"], env={**os.environ, **where}, check=True)
        site.run.expect(event="instance.exit", app="web")
        assert not site.pids()


def test_a_program_that_never_got_ready(tmp_path: Path, port: int) -> None:
    """Under another name it is the same, and what serves in its place goes on doing so."""
    listen = [f"127.0.0.1:{port}"]
    with running(tmp_path, server(port, listen=listen, share="python")) as site:
        before = get(port)
        site.change(args=["-c", "raise SystemExit(1)"], listen=[])
        site.run.expect(event="app.reload_failed", app="web")
        site.rename("web", "site")
        site.run.expect(event="instance.exit", app="site", count=2)
        assert get(port) == before


BROKEN: Final[dict[str, Any]] = {"args": ["-c", "raise SystemExit(1)"]}


def read_again(site: Site, port: int) -> None:
    """The file that is there, once more: nobody goes, and who serves does so through a restart of its own."""
    readings = site.count("config.reload")
    site.run.signal(signal.SIGHUP)
    site.run.expect(event="config.reload", count=readings + 1)
    starts = site.count("instance.online")
    (old,) = site.pids("web")
    assert get(port) == str(old)
    os.kill(old, signal.SIGKILL)
    site.run.expect(event="instance.online", count=starts + 1)
    assert get(port) == str(site.pids("web")[0]) != str(old)


def test_a_program_that_never_got_ready_is_renamed_and_read_again(tmp_path: Path, port: int) -> None:
    """The file before says nothing of what serves; it does so until the new one is ready."""
    listen = [f"127.0.0.1:{port}"]
    with running(tmp_path, server(port, listen=listen, share="python")) as site:
        site.change(**BROKEN, listen=[])
        site.run.expect(event="app.reload_failed", app="web")
        site.rename("web", "site")
        site.run.expect(event="config.reload", added=["site"])
        read_again(site, port)


@pytest.mark.parametrize("name", ["site", "page"])
def test_the_new_one_becomes_another_one(tmp_path: Path, port: int, name: str) -> None:
    """Another program and port, or another name as well: the old one goes for it, and for nothing else."""
    listen = [f"127.0.0.1:{port}"]
    with running(tmp_path, server(port, listen=listen, share="python")) as site:
        site.rename("web", "site", **BROKEN)
        site.run.expect(event="config.reload", added=["site"])
        if name != "site":
            site.rename("site", name)
            site.run.expect(event="config.reload", added=[name])
        other = harness.free_port()
        site.change(
            name,
            listen=[f"127.0.0.1:{other}"],
            args=["-c", "raise SystemExit(2)"],
            env={"PORT": str(other)},
        )
        site.run.expect(event="config.reload", count=2 + (name != "site"))
        read_again(site, port)
        site.change(name, args=["-c", SERVER.format(port=other, late=0)])
        site.run.expect(event="instance.online", app=name)
        harness.eventually(lambda: not site.pids("web"), "the end of the old one")
        assert get(other) == str(site.pids(name)[0])


def test_renamed_back(tmp_path: Path, port: int) -> None:
    """Before the new one is ready: that one goes, and the old one has never been away."""
    listen = [f"127.0.0.1:{port}"]
    with running(tmp_path, server(port, listen=listen, share="python")) as site:
        before = get(port)
        site.rename("web", "site", args=["-c", SERVER.format(port=port, late=1000)])
        site.run.expect(event="instance.start", app="site")
        site.rename("site", "web", args=["-c", SERVER.format(port=port, late=0)])
        site.run.expect(event="instance.exit", app="site")
        assert get(port) == before
        assert not site.run.find(event="instance.exit", app="web")


def test_who_cannot_stand_side_by_side(tmp_path: Path, port: int) -> None:
    """The new one begins when the old one has ended, and does not fail for its port."""
    with running(tmp_path, server(port, ready=f"tcp:127.0.0.1:{port}")) as site:
        (old,) = site.pids("web")
        site.rename("web", "site")
        site.run.expect(event="instance.online", app="site")
        assert get(port) == str(site.pids("site")[0]) != str(old)
        events = [
            record
            for record in site.run.records
            if record.get("event") in ("instance.exit", "instance.start")
        ]
        assert [(record["event"], record["app"]) for record in events] == [
            ("instance.start", "web"),
            ("instance.exit", "web"),
            ("instance.start", "site"),
        ]


def test_ports_of_two_that_stay(tmp_path: Path, port: int) -> None:
    """They do not change hands in one step: nothing is changed, and it is said who has what."""
    other = harness.free_port()
    one = server(port, name="one", listen=[f"127.0.0.1:{port}"], share="python")
    two = server(other, name="two", listen=[f"127.0.0.1:{other}"], share="python")
    with running(tmp_path, one, two) as site:
        before = get(port), get(other)
        site.apps["one"] = {**one, "listen": two["listen"]}
        site.change("two", listen=one["listen"])
        message = site.run.expect(event="config.rejected")["message"]
        assert (
            f"one: listen: tcp:127.0.0.1:{other}: already in use by this runtime, where two listens"
            in message
        )
        assert "taken from one by a first change of the file" in message
        assert (get(port), get(other)) == before
