"""`static` from end to end: the file server as an app of a running ecosystem."""

import json
import signal
import socket
import threading
import urllib.request
from pathlib import Path

from harness import children, eventually, free_port, pidone


def fetch(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        return str(response.read().decode())


def test_instances_share_the_port_and_a_reload_loses_no_request(tmp_path: Path) -> None:
    """An entry of `static` beside a PM2 file's `serve` app; both stop in order."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/index.html").write_text("home")
    ports = [free_port(), free_port()]
    site = {"name": "site", "path": "dist", "port": ports[0], "spa": True, "instances": 2}
    env = {"PM2_SERVE_PATH": "dist", "PM2_SERVE_PORT": ports[1]}
    app = {"name": "other", "script": "serve", "env": env}
    file = tmp_path / "ecosystem.json"
    file.write_text(json.dumps({"apps": [app], "static": [site]}))
    with pidone(str(file), cwd=tmp_path) as running:
        running.expect(event="instance.online", count=3)
        assert [fetch(port, "/") for port in ports] == ["home", "home"]
        assert fetch(ports[0], "/deep/route") == "home"
        before = {each["pid"] for each in running.find(event="instance.start")}
        failures: list[Exception] = []
        is_over = threading.Event()

        def ask() -> None:
            while not is_over.is_set():
                try:
                    assert fetch(ports[0], "/") == "home"
                except OSError as error:
                    failures.append(error)

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        file.write_text(json.dumps({"apps": [app], "static": [{**site, "env": {"NEW": "1"}}]}))
        running.signal(signal.SIGHUP)
        running.expect(event="app.reloaded", app="site")
        is_over.set()
        for client in clients:
            client.join()
        assert failures == []
        # While processes end, the kernel may leave others out of the list for a moment.
        eventually(lambda: len(before - set(children(running.pid))) == 2, "both to be replaced")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        assert running.find(event="instance.kill") == []


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    """The runtime opens it, so the file is refused as a whole."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "e.json"
        file.write_text(json.dumps({"static": [{"path": ".", "port": port, "host": "127.0.0.1"}]}))
        with pidone(str(file)) as running:
            assert running.wait() == 69
            assert running.err is not None
            assert f"127.0.0.1:{port}: already in use" in running.err.text()
