"""Outside services: `wait_for` replaces wait-for-it and dockerize."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from control.operated import Operated, operated
from harness import PIDONE, Running, children, descendants, eventually, free_port, state

SLEEPER = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"


def app(name: str, **keys: Any) -> dict[str, Any]:
    return {
        "name": name,
        "script": "/bin/sh",
        "args": ["-c", SLEEPER],
        "ready": "log:up",
        "wait_for_interval": "100ms",
        **keys,
    }


def written(*apps: dict[str, Any], **runtime: Any) -> str:
    return tomli_w.dumps({"apps": list(apps), "runtime": runtime})


class _Answers(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def web(port: int, tls: ssl.SSLContext | None = None) -> Iterator[type[_Answers]]:
    """A server that answers everything, until the block ends."""
    answers = type("Answers", (_Answers,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), answers)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def waiting(it: Operated, problem: str) -> dict[str, Any]:
    """Until the record that tells of this problem."""
    return eventually(
        lambda: next((r for r in it.run.find(event="service.waiting") if problem in r["problem"]), None),
        f"waiting because of {problem}",
    )


def test_an_app_starts_when_its_port_its_file_and_its_socket_are_there(tmp_path: Path) -> None:
    """It is seen waiting in `ls`, `describe`, the API, the metrics and /readyz until then."""
    port = free_port()
    tcp, file, unix = f"tcp://127.0.0.1:{port}", f"file://{tmp_path}/ready", f"unix://{tmp_path}/x.sock"
    with operated(tmp_path, written(app("api", wait_for=[tcp, file, unix])), ready=False) as it:
        waiting(it, "Connection refused")
        waiting(it, "No such file or directory")
        shown = it.app("api")
        assert (shown["state"], it.states("api"), shown["wish"]["run"]) == ("waiting", ["waiting"], "waiting")
        assert f"{tcp} (Connection refused)" in shown["waits_for"]
        probe = it.ask("/readyz?verbose")
        assert probe.status == 503
        assert f"[-] api waiting: waits for {tcp} (Connection refused)" in probe.body.decode()
        assert tcp in it.command("describe", "api").stdout
        assert "waiting" in it.command("ls").stdout
        assert 'pidone_app_waiting{app="api"' in it.ask("/metrics").body.decode()
        (tmp_path / "ready").touch()
        with socket.create_server(("127.0.0.1", port)), socket.socket(socket.AF_UNIX) as local:
            it.run.expect(event="service.ready", service=tcp)
            assert not it.run.find(event="instance.start")
            local.bind(f"{tmp_path}/x.sock")
            local.listen()
            it.run.expect(event="instance.online", app="api")
        assert it.app("api")["waits_for"] == ""
        assert 'pidone_app_waiting{app="api"' not in it.ask("/metrics").body.decode()


def test_a_name_may_come_late(tmp_path: Path) -> None:
    """DNS, here /etc/hosts in a mount namespace, is asked anew at each look, and beside the loop."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    port = free_port()
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    (tmp_path / "ecosystem.toml").write_text(written(app("api", wait_for=[f"tcp://late.invalid:{port}"])))
    mount = f"mount --bind {hosts} /etc/hosts && exec {PIDONE} {tmp_path}/ecosystem.toml --socket none"
    with (
        socket.create_server(("127.0.0.1", port)),
        Running(["unshare", "--mount", "sh", "-c", mount]) as run,
    ):
        first = eventually(
            lambda: next(
                (r for r in run.find(event="service.waiting") if r["problem"] != "no answer yet"), None
            )
        )
        assert "ame" in first["problem"], "Name or service not known, or the like of it"
        assert not run.find(event="instance.start")
        with hosts.open("a") as file:  # the very file is mounted
            file.write("127.0.0.1 late.invalid\n")
        run.expect(event="instance.online", app="api")


def test_http_has_to_answer_well(tmp_path: Path) -> None:
    """503 is no answer; 204 is one."""
    port = free_port()
    url = f"http://user:hidden@127.0.0.1:{port}/_health"
    with web(port) as answers:
        answers.status = 503
        with operated(tmp_path, written(app("api", wait_for=[url])), ready=False) as it:
            told = waiting(it, "HTTP 503")
            assert told["service"] == f"http://127.0.0.1:{port}/_health"
            assert "hidden" not in json.dumps(it.run.records) + it.command("describe", "api").stdout
            answers.status = 204
            it.run.expect(event="instance.online", app="api")


def test_tls_is_checked(tmp_path: Path) -> None:
    """A certificate that nobody knows is no answer; one that SSL_CERT_FILE knows is."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    key, cert, port = tmp_path / "key.pem", tmp_path / "cert.pem", free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    text = written(app("api", wait_for=[f"https://127.0.0.1:{port}/"]))
    with web(port, tls):
        with operated(tmp_path, text, ready=False) as it:
            assert "certificate" in waiting(it, "TLS: ")["problem"]
            assert not it.run.find(event="instance.start")
        (tmp_path / "known").mkdir()
        with operated(tmp_path / "known", text, env={"SSL_CERT_FILE": str(cert)}) as it:
            assert it.states("api") == ["online"]


def test_at_the_timeout_the_app_is_given_up(tmp_path: Path) -> None:
    """75, with what was missing and why; who does not wait is not touched meanwhile."""
    late = app("late", wait_for=["file:///nowhere/a", "file:///nowhere/b"], wait_for_timeout="500ms")
    with operated(tmp_path, written(late, app("other")), ready=False) as it:
        told = it.run.expect(event="instance.errored", app="late")
        assert told["message"] == (
            "file:///nowhere/a did not answer within 0.5 s: No such file or directory; "
            "file:///nowhere/b did not answer within 0.5 s: No such file or directory"
        )
        assert (it.states("late"), it.states("other")) == (["errored"], ["online"])
        assert it.command("start", "late").returncode == 0, "a person's word counts more"
        it.run.expect(event="instance.online", app="late")
    with operated(tmp_path, written(late), ready=False) as it:
        assert it.run.wait() == 75
        assert "file:///nowhere/a did not answer" in it.run.find(event="runtime.exit")[0]["message"]


def test_or_it_starts_nevertheless(tmp_path: Path) -> None:
    """`on_wait_timeout = "start"`: a warning, and it starts."""
    late = app("late", wait_for="file:///nowhere", wait_for_timeout="300ms", on_wait_timeout="start")
    with operated(tmp_path, written(late)) as it:
        it.run.expect(event="service.timeout", level="warning")
        assert it.states("late") == ["online"]


def test_the_whole_may_wait(tmp_path: Path) -> None:
    """`[runtime] wait_for` holds for every app, after what each depends on, and one look serves all."""
    text = written(
        app("one"), app("two"), app("three", depends_on=["one"]),
        wait_for=[f"file://{tmp_path}/ready"], wait_for_interval="100ms",
    )  # fmt: skip
    with operated(tmp_path, text, ready=False) as it:
        eventually(lambda: len(it.run.find(event="service.waiting", app="two")) == 2, "two to wait")
        assert len(descendants(it.run.pid)) == 1
        assert it.app("three")["waits_for"] == "one to be ready"
        (tmp_path / "ready").touch()
        it.run.expect(event="instance.online", app="three")
        eventually(lambda: not it.app("three")["waits_for"], "all to be there")


def test_a_stop_while_it_waits_is_immediate(tmp_path: Path) -> None:
    """Also while somebody asks a name server that does not answer; nobody is left."""
    patient = app("api", wait_for=["file:///nowhere"], wait_for_timeout="1h")
    with operated(tmp_path, written(patient), ready=False) as it:
        waiting(it, "No such file")
        it.run.signal(signal.SIGTERM)
        assert it.run.wait() == 0
        assert not it.run.find(event="instance.start")


def test_stopped_and_started_apps_wait_no_more(tmp_path: Path) -> None:
    """A person's stop ends the waiting and the looks, a start the waiting alone."""
    with operated(tmp_path, written(app("a"), app("b", wait_for=["file:///nowhere"])), ready=False) as it:
        waiting(it, "No such file")
        it.command("stop", "b")
        assert it.states("b") == ["stopped"]
        eventually(lambda: not it.app("b")["waits_for"], "nobody to wait")
        it.command("start", "b")
        assert it.states("b") == ["online"]


def test_a_changed_file_changes_what_is_waited_for(tmp_path: Path) -> None:
    """The time goes on counting; what runs already is not touched by it."""
    file = tmp_path / "ecosystem.toml"
    runs = app("runs")
    with operated(tmp_path, written(runs, app("api", wait_for=["file:///nowhere"])), ready=False) as it:
        waiting(it, "No such file")
        ready = f"file://{tmp_path}/ready"
        file.write_text(
            written({**runs, "wait_for": [ready]}, app("api", wait_for=[ready], env={"VERSION": "2"}))
        )
        it.run.signal(signal.SIGHUP)
        it.run.expect(event="service.waiting", service=ready)
        (tmp_path / "ready").touch()
        it.run.expect(event="instance.online", app="api")
        assert len(it.run.find(event="instance.start", app="runs")) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_look_that_is_killed_or_held_is_made_again(tmp_path: Path, number: int) -> None:
    """Whoever looks may be the kernel's victim when memory ends; others are served and heard meanwhile."""
    other = app("other", args=["-c", "trap 'exit 0' TERM; echo up; while :; do echo tick; sleep 0.05; done"])
    waits = app("api", wait_for=[f"file://{tmp_path}/x"], wait_for_timeout="0s")
    with operated(tmp_path, written(waits, other), ready=False) as it:
        waiting(it, "No such file")
        it.run.expect(event="instance.online", app="other")
        serving = it.run.expect(event="instance.start", app="other")["pid"]
        helpers = [pid for pid in children(it.run.pid) if pid != serving]  # who stands guard is another one
        for pid in helpers:
            os.kill(pid, number)
        waiting(it, "whoever looked was " + ("killed" if number == signal.SIGKILL else "stopped"))
        ticks = len(it.run.find(message="tick"))
        (tmp_path / "x").touch()
        it.run.expect(event="instance.online", app="api")
        it.run.expect(message="tick", count=ticks + 1)
        eventually(lambda: not any(map(state, helpers)), "their burial")
