"""Starts that cannot work: code 78, or 69 where a port is taken, a clear message, and nothing was started."""

import os
import shutil
import signal
import socket
from pathlib import Path

import harness
import pytest
from clusters.site import get, node_app, python_app, refused, running


def test_port_in_use(tmp_path: Path, port: int) -> None:
    """The message names the port and who holds it."""
    with socket.create_server(("127.0.0.1", port)):
        app = python_app("wsgi.py", port=port, listen=[f"127.0.0.1:{port}"])
        code, message, records = refused(tmp_path, python_app("x", port=port, name="first"), app)
    assert code == 69
    assert f"{port}: already in use by process" in message
    assert not [record for record in records if record.get("event") == "instance.start"]


@pytest.mark.parametrize("address", ["192.0.2.1:8123", "unix:/nowhere/at/all.sock"])
def test_an_address_that_is_not_there(tmp_path: Path, port: int, address: str) -> None:
    """The message names file and line of the `listen`; the file is wrong."""
    code, message, _ = refused(tmp_path, python_app("wsgi.py", port=port, name="web", listen=[address]))
    assert code == 78
    assert ": web: listen: " in message
    assert message.partition(": web")[0].rpartition(":")[2].isdigit()


@pytest.mark.parametrize("balance", ["shared", "spread"])
def test_two_apps_claim_one_port(tmp_path: Path, port: int, balance: str) -> None:
    """Neither is started, not even where the kernel would let both bind."""
    apps = [
        python_app("wsgi.py", port=port, name=name, listen=[port], balance=balance) for name in ("one", "two")
    ]
    code, message, records = refused(tmp_path, *apps)
    assert code == 78
    assert str(port) in message
    assert "two" in message
    assert not [record for record in records if record.get("event") == "instance.start"]


def test_privileged_port(root: None, tmp_path: Path) -> None:
    """Without the right to it the message says what is missing."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    first = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()
    if int(first) <= 81:
        pytest.skip("every port is unprivileged here")
    app = python_app("wsgi.py", port=81, listen=[81])
    prefix = ["setpriv", "--inh-caps=-net_bind_service", "--bounding-set=-net_bind_service"]
    code, message, records = refused(tmp_path, app, prefix=prefix)
    assert code == 78
    assert "81: ports below 1024 need root or CAP_NET_BIND_SERVICE" in message
    assert not [record for record in records if record.get("event") == "instance.start"]


def test_privileged_port_of_another_user(root: None, tmp_path: Path) -> None:
    """It is bound before the process becomes somebody else."""
    code = (
        "import http.server, os, socket; s = http.server.HTTPServer(('', 0), "
        "http.server.BaseHTTPRequestHandler, False); s.socket = socket.socket(fileno=3); "
        "print('user', os.getuid(), 'port', s.socket.getsockname()[1], flush=True); s.serve_forever()"
    )
    port = harness.free_port(range(600, 1024))
    app = python_app("-c", code, port=port, listen=[f"127.0.0.1:{port}"], instances=1)
    app |= {"script": "/usr/bin/python3", "user": "nobody", "cwd": "/"}
    with running(tmp_path, app) as site:
        site.run.expect_line(f"user 65534 port {port}")


def test_rejected_reload_keeps_the_sockets(tmp_path: Path, node: str, port: int) -> None:
    """When one app cannot have its new port, the others keep their old ones."""
    other = harness.free_port()
    one = python_app("wsgi.py", port=port, name="one", listen=[f"127.0.0.1:{port}"], instances=1)
    one |= {"args": ["-m", "http.server", "--bind", "127.0.0.1", str(port)], "share": "python"}
    with running(tmp_path, one, node_app(node, 0, name="two", instances=1)) as site:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            site.apps["one"]["listen"] = [f"127.0.0.1:{other}"]
            site.change("two", listen=[f"127.0.0.1:{taken.getsockname()[1]}"])
            site.run.expect(event="config.rejected")
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", other)) != 0
        harness.eventually(lambda: site.pids("one"), "still there")
        (old,) = site.pids("one")
        os.kill(old, signal.SIGKILL)
        get(port)  # its port never closed
