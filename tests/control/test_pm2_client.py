"""The stock client of npm's pm2 against this runtime: its command line, and `require("pm2")`."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import termios
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import npm
import pytest
from cli.screen import read_until
from harness import DEADLINE_S, PIDONE, Running, children, eventually, free_port, spawned

SERVER = """process.on('message', (m) => console.log('MESSAGE ' + JSON.stringify(m)));
process.on('message', (m) => {
  if (m === 'hello') process.send({type: 'axm:reply', data: {return: 'world', action_name: 'hello'}}); });
if (process.send) process.send({type: 'axm:action', data: {action_name: 'hello', action_type: 'custom'}});
process.on('SIGUSR2', () => console.log('USR2'));
process.stdin.on('data', (data) => console.log('LINE ' + String(data).trim()));
console.log('up'); setInterval(() => console.log('tick'), 200);
if (process.send) setTimeout(() => process.send({type: 'custom', data: {a: 1}}), 500);
"""


@pytest.fixture(scope="module")
def pm2() -> Path:
    """PM2's package."""
    if shutil.which("node") is None:
        pytest.skip("no node to run pm2 with")
    return npm.modules("pm2-7", "pm2@7") / "pm2"


class Operated:
    """A runtime under PM2's name, and PM2's own client for it."""

    def __init__(self, pm2: Path, folder: Path) -> None:
        self.home = folder / "home"
        self.env = {
            **os.environ,
            "PM2_HOME": str(self.home),
            "HOME": str(folder),
            "PIDONE_SOCKET": str(folder / "s"),
        }
        self.folder = folder
        self.package = pm2
        name = folder / "pm2-runtime"
        name.symlink_to(PIDONE)
        self.running = Running([str(name), "e.json"], cwd=folder, env=self.env)

    def command(self, *words: str) -> str:
        """`pm2 WORDS`; it has to exit 0."""
        command = ["node", str(self.package / "bin" / "pm2"), *words]
        done = subprocess.run(
            command, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def script(self, body: str) -> Any:
        """Run JavaScript with `pm2` connected; what it hands to `done`."""
        code = f"""const pm2 = require({json.dumps(str(self.package))});
        const done = (e, v) => {{
          console.log('RESULT ' + JSON.stringify(e ? String(e) : v)); pm2.disconnect(); process.exit(0); }};
        pm2.connect((error) => {{ if (error) return done(error); {body} }});"""
        done = subprocess.run(
            ["node", "-e", code],
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        assert lines, done.stdout + done.stderr
        return json.loads(lines[-1].removeprefix("RESULT "))

    def listed(self) -> list[dict[str, Any]]:
        """`pm2 jlist`."""
        found: list[dict[str, Any]] = json.loads(self.command("jlist").splitlines()[-1])
        return found


@pytest.fixture
def operated(pm2: Path, tmp_path: Path) -> Iterator[Operated]:
    """Two apps: a cluster of two, and a single one."""
    (tmp_path / "server.js").write_text(SERVER)
    (tmp_path / "package.json").write_text('{"name": "x", "version": "3.2.1"}')
    apps = [
        {"name": "web", "script": "server.js", "instances": 2, "exec_mode": "cluster"},
        {"name": "one", "script": "server.js"},
    ]
    (tmp_path / "e.json").write_text(json.dumps({"apps": apps}))
    with_client = Operated(pm2, tmp_path)
    with with_client.running as run:
        eventually((with_client.home / "pub.sock").exists, "the sockets")
        eventually(lambda: list(run.out or ()).count("up") == 3, "three processes")
        yield with_client
        if run.process.poll() is None:
            run.signal(signal.SIGTERM)
            assert run.wait() == 0
            assert not (with_client.home / "rpc.sock").exists()


def test_the_command_line(operated: Operated) -> None:
    """list, jlist, prettylist, describe, scale, reload, restart, stop, start, delete, trigger, send..."""
    home = operated.home
    assert stat.S_IMODE((home / "rpc.sock").stat().st_mode) == 0o600
    eventually(lambda: {p["pm2_env"]["status"] for p in operated.listed()} == {"online"}, "all online")
    before = operated.listed()
    assert [(p["name"], p["pm_id"], p["pm2_env"]["status"]) for p in before] == [
        ("web", 0, "online"),
        ("web", 1, "online"),
        ("one", 2, "online"),
    ]
    assert {p["pm2_env"]["exec_interpreter"] for p in before} == {"node"}
    assert "web" in operated.command("list")
    assert "3.2.1" in operated.command("describe", "one")
    operated.command("reload", "web")
    after = operated.listed()
    assert not {p["pid"] for p in before[:2]} & {p["pid"] for p in after[:2]}
    assert before[2]["pid"] == after[2]["pid"]
    operated.command("scale", "web", "4")
    assert [p["name"] for p in operated.listed()].count("web") == 4
    operated.command("scale", "web", "1")
    assert [p["name"] for p in operated.listed()].count("web") == 1
    operated.command("restart", "one")
    assert operated.listed()[-1]["pm2_env"]["restart_time"] == 1
    operated.command("stop", "one")
    assert operated.listed()[-1]["pm2_env"]["status"] == "stopped"
    operated.command("start", "one")
    assert operated.listed()[-1]["pm2_env"]["status"] == "online"
    assert operated.command("prettylist").count("status: 'online'") == 2
    assert '[one:2:default]="world"' in operated.command("trigger", "one", "hello")
    operated.command("sendSignal", "SIGUSR2", "one")
    operated.command("send", "2", "hello there")
    operated.running.expect_line("USR2")
    operated.running.expect_line("LINE hello there")
    command = ["node", str(operated.package / "bin" / "pm2"), "logs", "one", "--raw"]
    with Running(command, env=operated.env, cwd=operated.folder) as logs:
        logs.expect_line("tick")
    operated.command("delete", "web")
    assert [p["name"] for p in operated.listed()] == ["one"]
    assert not [
        pid for pid in children(os.getpid()) if "God Daemon" in Path(f"/proc/{pid}/cmdline").read_text()
    ]


def test_the_api_in_a_program(operated: Operated) -> None:
    """`require("pm2")`: list, restart, sendDataToProcessId, what it cannot do, and the bus."""
    assert operated.script("pm2.list((e, l) => done(e, l.map((p) => p.name)));") == ["web", "web", "one"]
    restarted = operated.script("pm2.restart('one', (e) => pm2.describe('one', (e, d) => done(e, d)));")
    assert restarted[0]["pm2_env"]["restart_time"] == 1
    packet = "{id: 2, type: 'process:msg', topic: 't', data: {b: 2}}"
    operated.script(f"pm2.sendDataToProcessId({packet}, (e) => done(e, 1));")
    operated.running.expect_line("MESSAGE")
    for verb in ("reload", "stop", "restart"):
        wanted = "stopped" if verb == "stop" else "online"
        asked = f"pm2.{verb}('one', () => pm2.describe('one', (e, d) => done(e, d[0].pm2_env.status)));"
        assert operated.script(asked) == wanted
    operated.script("pm2.sendSignalToProcessId('SIGUSR2', 2, (e) => done(e, 1));")
    operated.running.expect_line("USR2")
    new = "pm2.start({script: 'server.js', name: 'new'}, () => pm2.list((e, l) => done(e, l.length)));"
    assert operated.script(new) == 3
    heard = operated.script(
        """pm2.launchBus((error, bus) => {
          const seen = {};
          bus.on('*', (topic, d) => {
            seen[topic + (d.event ? ' ' + d.event : '')] = [d.process && d.process.name, d.data];
            if (seen['process:event online'] && seen['log:out'] && seen.custom) done(null, seen); });
          pm2.restart('one', () => {});
        });"""
    )
    assert heard["custom"] == ["one", {"a": 1}]
    assert heard["log:out"][1].endswith("\n")
    assert {"process:event exit", "process:event restart"} & set(heard)


WRONG = {
    "pm2.restart('nope', said)": "process or namespace not found",
    "pm2.restart(99, said)": "God db process id unknown",
    "pm2.stop('nope', said)": "process or namespace not found",
    "pm2.sendSignalToProcessName('SIGUSR2', 'nope', said)": "Unknown process name",
    "pm2.sendSignalToProcessName('SIGNOPE', 'one', said)": "Error when sending signal (signal unknown)",
    "pm2.sendSignalToProcessId('SIGUSR2', 99, said)": "99 id unknown",
    "pm2.sendDataToProcessId({id: 99, topic: 't', data: {}}, said)": "Process with ID <99> unknown.",
    "pm2.sendDataToProcessId({id: 2, data: {}}, said)": "ID, DATA or TOPIC field is missing",
    "pm2.sendDataToProcessId({id: 2, topic: 't'}, said)": "ID, DATA or TOPIC field is missing",
    "pm2.sendLineToStdin(99, 'x', said)": "Process with ID <99> unknown.",
    "pm2.trigger(99, 'x', said)": "99 id unknown",
    "pm2.scale('nope', 2, said)": "App not found",
    "pm2.scale('web', 2, said)": "Same process number",
    "pm2.reset('nope', said)": "Unknown process name",
    "pm2.start({script: 'missing.js'}, said)": "Script not found: ",
    "pm2.Client.executeRemote('nope', {}, said)": 'method "nope" does not exist',
    "pm2.Client.executeRemote('msgProcess', {}, said)": "method requires name or id field",
    "pm2.Client.executeRemote('startProcessId', 99, said)": "99 id unknown",
    "pm2.Client.executeRemote('stopProcessId', 99, said)": "99 : id unknown",
    "pm2.Client.executeRemote('deleteProcessId', 99, said)": "99 : id unknown",
    "pm2.Client.executeRemote('resetMetaProcessId', 99, said)": "99 id unknown",
    "pm2.stop('one', () => pm2.sendDataToProcessId({id: 2, topic: 't', data: {}}, said))": (
        "Process with ID <2> offline."
    ),
    "pm2.describe('nope', (e, found) => said(String(found.length)))": "0",
    "pm2.delete('one', (e, gone) => said(gone[0].pm2_env.status))": "stopped",
}
"""What callbacks of the API hear under pm2 7.0.4."""


def test_what_callbacks_hear_of_mistakes(operated: Operated) -> None:
    """The same words as from PM2's own daemon."""
    calls = ", ".join(f"(said) => {call}" for call in WRONG)
    heard = operated.script(f"""
      const calls = [{calls}], heard = [];
      const next = () => {{
        if (heard.length === calls.length) return done(null, heard);
        calls[heard.length]((e) => {{ heard.push(e && e.message ? e.message : String(e)); next(); }}); }};
      next();""")
    found = dict(zip(WRONG, heard, strict=True))
    assert {call: (text, found[call]) for call, text in WRONG.items() if text not in found[call]} == {}


def test_an_action_that_nobody_has(operated: Operated) -> None:
    """Is refused at once, in PM2's words; the list tells which ones there are."""
    known = [[{"action_name": "hello"}]] * 3
    eventually(lambda: [p["pm2_env"]["axm_actions"] for p in operated.listed()] == known, "the actions")
    assert "hello" in operated.command("describe", "one")
    for target, error in ((2, "Error: Action doesn't exist nope for one"), ("one", "Error: Unknown process")):
        assert operated.script(f"pm2.trigger({json.dumps(target)}, 'nope', (e, v) => done(e, v));") == error
    (reply,) = operated.script("pm2.trigger(2, 'hello', (e, v) => done(e, v));")
    assert reply["data"]["return"] == "world"
    own = [PIDONE, "trigger", "one", "nope"]
    done = subprocess.run(own, env=operated.env, capture_output=True, text=True, timeout=60, check=False)
    assert "nobody there has an action nope; announced: hello" in done.stderr
    operated.command("stop", "one")
    assert operated.listed()[-1]["pm2_env"]["axm_actions"] == []


def test_a_client_that_is_slow_to_read_hears_the_reply(operated: Operated) -> None:
    """`trigger` counts replies only once it was told how many there will be: that it can read first."""
    operated.running.expect_line("tick")
    (reply,) = operated.script("""
      const ask = pm2.msgProcess.bind(pm2);
      const sleep = () => { const until = Date.now() + 700; while (Date.now() < until) {} };
      // unread at once: lines, the answer, the reply
      pm2.msgProcess = (what, then) => { sleep(); ask(what, then); sleep(); };
      pm2.trigger(2, 'hello', (e, v) => done(e, v));""")
    assert reply["data"]["return"] == "world"


def test_the_screens(operated: Operated) -> None:
    """`pm2 monit` shows the apps and their lines, `pm2 logs` goes on; both end by Ctrl-C."""
    for words, wanted in (
        (("monit",), rb"(?s)(?=.*web)(?=.*one)(?=.*tick)"),
        (("logs", "one"), rb"(?s)TAILING.*tick"),
    ):
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (40, 120))
        command = ["node", str(operated.package / "bin" / "pm2"), *words]
        with spawned(
            command,
            env={**operated.env, "TERM": "xterm"},
            cwd=operated.folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as program:
            os.close(theirs)
            read_until(ours, wanted)
            os.write(ours, b"\x03")  # what a terminal in raw mode hands on
            program.send_signal(signal.SIGINT)  # and what any other makes of it
            eventually(lambda: program.poll() is not None, f"the end of pm2 {words[0]}")
            os.close(ours)


def test_the_web_side(tmp_path: Path) -> None:
    """`--web PORT`: for a program PM2's JSON is at `/`, without variables; for a browser the dashboard."""
    name, port = tmp_path / "pm2-runtime", free_port()
    name.symlink_to(PIDONE)
    env = {"PM2_HOME": str(tmp_path / "home"), "PIDONE_SOCKET": str(tmp_path / "s"), "SECRET": "hush"}
    words = [str(name), "--web", str(port), "--", "/bin/sleep", "1010"]
    with Running(words, cwd=tmp_path, env=env) as run:
        eventually((tmp_path / "s").exists, "the control side")
        url = f"http://127.0.0.1:{port}/"
        text = urllib.request.urlopen(url, timeout=20).read().decode()
        found = json.loads(text)
        assert [each["name"] for each in found["processes"]] == ["sleep"]
        assert found["monit"]["total_mem"] > found["monit"]["free_mem"] > 0
        assert "hush" not in text
        browser = urllib.request.Request(url, headers={"Accept": "text/html,*/*;q=0.8"})
        assert b"<html" in urllib.request.urlopen(browser, timeout=20).read()
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_nonsense_costs_its_sender_the_connection(operated: Operated) -> None:
    """Frames that are none, too long ones, requests that are none: others are served as before."""
    path = str(operated.home / "rpc.sock")
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x11\xff\xff\xff\xff", b"\x11\x00\x00\x00\x03j:{"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(path)
            client.sendall(data)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(10) == b""
    assert len(operated.listed()) == 3


def test_numbers_that_are_none(tmp_path: Path) -> None:
    """More digits than Python reads at once: nobody's number, and no bug of ours."""
    (tmp_path / "e.json").write_text(
        '{"apps": [{"name": "a", "script": "/bin/sleep", "args": "1000"}], "runtime": {"pm2_rpc": true}}'
    )
    env = {"PM2_HOME": str(tmp_path / "home"), "PIDONE_SOCKET": str(tmp_path / "s")}
    path = tmp_path / "home" / "rpc.sock"
    with Running([PIDONE, "e.json"], cwd=tmp_path, env=env) as run:
        eventually(path.exists, "PM2's socket")
        for number in ("9" * 5000, '{"id": "%s"}' % ("9" * 5000)):
            for method in ("startProcessId", "stopProcessId", "restartProcessId", "deleteProcessId"):
                request = {"type": "call", "method": method}
                argument = number if number.startswith("{") else f'"{number}"'
                text = f'{json.dumps(request)[:-1]}, "args": [{argument}]}}'
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(DEADLINE_S)
                    client.connect(str(path))
                    client.sendall(frame(f"j:{text}", "s:1"))
                    answer = client.recv(1 << 16)
                assert b"unknown" in answer, answer
        assert not run.find(event="runtime.error")


def frame(*arguments: str) -> bytes:
    """As PM2's client puts it."""
    parts = (len(each).to_bytes(4, "big") + each.encode() for each in arguments)
    return bytes([1 << 4 | len(arguments)]) + b"".join(parts)


def test_a_home_that_cannot_be_written(pm2: Path, tmp_path: Path) -> None:
    """The apps run as ever."""
    del pm2
    (tmp_path / "file").touch()
    name = tmp_path / "pm2-runtime"
    name.symlink_to(PIDONE)
    env = {"PM2_HOME": str(tmp_path / "file" / "home"), "PIDONE_SOCKET": str(tmp_path / "s")}
    with Running([str(name), "--json", "--", "/bin/sleep", "1008"], cwd=tmp_path, env=env) as run:
        eventually(lambda: "PM2's client cannot reach this runtime" in (run.out.text() if run.out else ""))
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
