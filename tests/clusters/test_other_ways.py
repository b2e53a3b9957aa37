"""A file that is read again says that an app gets its port in another way, or has another one."""

import socket
from pathlib import Path
from typing import Any

import harness
import pytest
from clusters.load import Load
from clusters.site import get, node_app, python_app, running

_SERVER = (
    "import http.server, os; "
    "http.server.BaseHTTPRequestHandler.do_GET = lambda it: (it.send_response(200), it.end_headers(), "
    "it.wfile.write(b'%d' % os.getpid())); "
    "http.server.HTTPServer(('127.0.0.1', {port}), http.server.BaseHTTPRequestHandler).serve_forever()"
)


def _becomes_one_of_its_own(folder: Path, port: int, app: dict[str, Any], **keys: Any) -> None:
    with running(folder, app) as site:
        site.change(instances=1, **keys)
        site.run.expect(event="instance.online", count=app["instances"] + 1)
        (pid,) = site.pids()
        assert int(get(port).split()[0]) == pid
        assert site.count("instance.start") == app["instances"] + 1, "its port was free at once"
        assert site.count("runtime.error") == 0


@pytest.mark.parametrize("balance", ["shared", "spread", "source"])
def test_a_cluster_that_is_none_any_more(tmp_path: Path, node: str, port: int, balance: str) -> None:
    """What its workers had asked for is closed before one that binds it itself begins."""
    app = node_app(node, port, balance=balance, instances=2)
    _becomes_one_of_its_own(tmp_path, port, app, exec_mode="fork", balance="shared")


@pytest.mark.parametrize("share", ["python", "kernel"])
def test_programs_that_share_no_more(tmp_path: Path, port: int, share: str) -> None:
    """The same of any program whose bind() was answered."""
    app = python_app("-c", _SERVER.format(port=port), port=port, share=share, ready="listen")
    _becomes_one_of_its_own(tmp_path, port, app, share="none")


def test_a_cluster_with_another_port(tmp_path: Path, node: str, port: int) -> None:
    """The old one serves as long as anybody has it, and then refuses instead of keeping clients waiting."""
    other = harness.free_port()
    with running(tmp_path, node_app(node, port, instances=2)) as site, Load(port, keep_alive=False) as load:
        load.more(50)
        assert load.finish() == []
        site.reload(env={"PORT": str(other)})
        assert int(get(other).split()[0]) in site.pids()

        def is_closed() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) != 0

        harness.eventually(is_closed, "the end of what nobody has any more")
