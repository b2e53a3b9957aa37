"""Canaries: secrets that are planted everywhere and must be seen nowhere."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.terminal import monit
from control.browser import CHROMIUM, browser
from control.operated import Operated, command, operated
from harness import DEADLINE_S, PIDONE, PYTHON, free_port, pidone, spawned

from pidone.cli.click_app import run as run_command
from pidone.cli.pm2.dispatch import _COMMANDS as PM2_COMMANDS
from pidone.cli.registry import COMMANDS

ECOSYSTEM = """
[runtime]
shutdown_timeout = "5s"

[[apps]]
name = "api"
script = "{python}"
args = [
  "{folder}/app.py", "--password", "canary-arg-1", "--token=canary-arg-2", "API_KEY=canary-arg-3",
  "http://canary-user-1:x@db.example/?token=canary-arg-4", "sh -c 'x --secret canary-arg-5 y'",
]
stdin = "pipe"
ready_delay = 0
env_file = "app.env"
secrets = {{ HARMLESS = "{folder}/secret" }}
hooks.post_start = ["/bin/false", "--token", "canary-hook-1"]
hooks.pre_stop = "false --password=canary-hook-2"
[apps.env]
DB_PASSWORD = "canary-env-1"
API_TOKEN = "canary-env-2"
STRIPE_KEY = "canary-env-3"
DATABASE_URL = "postgres://canary-user-2:canary-env-4@db.example/app"
CALLBACK = "https://example/?a=b&api_key=canary-env-5"
PLAIN = "canary9five9random9value9AbCdEf"
INHERITED_KEY = "${{FROM_OUTSIDE_SECRET}}"
[apps.env_production]
DB_PASSWORD = "canary-env-6"

[[apps]]
name = "ill"
script = "/bin/sleep"
args = "1000"
autostart = false
ready_delay = 0
health.http = "http://canary-user-3:x@127.0.0.1:{port}/?token=canary-probe"
health.failures = 1
health.interval = "50ms"

[[apps]]
name = "victim"
script = "/bin/sleep"
args = "1000"
ready_delay = 0

[[static]]
path = "{folder}"
port = {port}
basic_auth = {{ username = "admin", password = "canary-static" }}

[[alerts]]
name = "fat"
apps = ["api"]
memory = "1M"
exec = ["/bin/false", "--password", "canary-alert-1"]
webhook = "http://canary-user-4:x@127.0.0.1:1/canary-hook-path?token=canary-alert-2"
"""
SMOKE = """
[[apps]]
name = "web"
script = "/bin/sleep"
args = ["1000"]
ready_delay = 0

[[smoke]]
http = "http://canary-user-5:x@127.0.0.1:1/?token=canary-smoke-1"
timeout = "100ms"
[[smoke]]
exec = ["/bin/false", "--token", "canary-smoke-2"]
"""
OUTSIDE = {"FROM_OUTSIDE_SECRET": "canary-outside", "GITHUB_TOKEN": "canary-outside-2"}
CALLS = {
    "check": "check {file} --env production",
    "convert": "convert {file}",
    "init": "init {folder}/new",
    "schema": "schema",
    **{
        name: name for name in ("ls", "list", "ps", "status", "jlist", "prettylist", "logs", "save", "health")
    },
    "describe": "describe all --live",
    "env": "env all",
    "start": "start ill",
    "stop": "stop apj",
    "restart": "restart api",
    "reload": "reload victim",
    "delete": "delete nobody",
    "scale": "scale victim 2",
    "signal": "signal api CONT",
    "send": "send api x",
    "trigger": "trigger api x",
    "reset": "reset all",
    "flush": "flush victim",
    "reopen": "reopen",
    "wait": "wait api",
    "monit": "monit",
    "smoke": "smoke {folder}/smoke.toml --junit {folder}/junit.xml",
    "prove": "prove {folder}/smoke.toml --trial reload --junit {folder}/junit.xml",
    "completion": "completion bash",
    "complete": "complete -- describe a",
    "undrain": "undrain",
    "drain": "drain --delay 0",
    "prestop": "prestop --delay 0",
}
"""How each command is called; `drain` comes last because nothing is ready after it."""
WITHOUT_JSON = ("completion", "complete")
"""What only shells read."""
PM2_CALLS = {
    **dict.fromkeys(("start", "restart", "stop", "reload", "gracefulReload", "delete", "del"), "{} victim"),
    **dict.fromkeys(("startOrRestart", "startOrReload", "startOrGracefulReload"), "{} {file} --only victim"),
    **dict.fromkeys(("describe", "desc", "info", "show", "env", "reset", "id", "pid"), "{} api"),
    "scale": "scale api 2",
    "sendSignal": "sendSignal CONT api",
    "send": "send api x",
    "trigger": "trigger api x",
    "logs": "logs --nostream",
}
"""Those that take more than their name; `kill` comes last."""
SAYS_WHAT_THE_FILE_SAYS = ("convert", "save")
"""A file that starts the same again has what is written in the first; but nothing from anywhere else."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With an app, its files and the bait in them."""
    (tmp_path / "app.py").write_text(
        "import sys\nprint('hello', flush=True)\nfor line in sys.stdin: print('got it')\n"
    )
    (tmp_path / "app.env").write_text("FROM_FILE_PASSWORD=canary-file-1\n")
    (tmp_path / "secret").write_text("canary-file-2\n")
    (tmp_path / "token").write_text("canary-admin-token")
    (tmp_path / "smoke.toml").write_text(SMOKE)
    (tmp_path / "pm2").symlink_to(PIDONE)
    return tmp_path


@pytest.fixture
def it(folder: Path) -> Iterator[Operated]:
    """All of that at work, with everything logged that can be."""
    text = ECOSYSTEM.format(folder=folder, python=PYTHON, port=free_port())
    words = ("--log-level", "debug", "--admin-token-file", str(folder / "token"))
    with operated(folder, text, *words, env=OUTSIDE) as running:
        yield running
        running.run.signal(15)
        running.run.wait()


def leaks(texts: dict[str, str], *, allowed: tuple[str, ...] = ()) -> list[str]:
    """Where a canary sings."""
    return [
        f"{where}: {word}"
        for where, text in texts.items()
        for word in text.split()
        if "canary" in word and not any(each in word for each in allowed)
    ]


def in_the_file(folder: Path) -> tuple[str, ...]:
    """The canaries that the file itself has."""
    text = (folder / "ecosystem.toml").read_text()
    return tuple(
        word.strip(",'\"]}") for word in text.replace("=", " ").replace(":", " ").split() if "canary" in word
    )


def test_no_command_tells_a_secret(it: Operated, folder: Path) -> None:
    """Every command there is, as text and as JSON, those that fail too."""
    assert set(CALLS) == set(COMMANDS), "a new command wants to be tried here"
    it.run.expect(event="alert.failed", count=2)
    seen: dict[str, str] = {}
    for name, words in CALLS.items():
        if name == "monit":
            continue
        argv = words.format(file=folder / "ecosystem.toml", folder=folder).split()
        for more in ([], ["--json"]) if name not in WITHOUT_JSON else ([],):
            done = command(*argv, *more, env={"PIDONE_SOCKET": it.socket, **OUTSIDE}, cwd=folder)
            text = done.stdout + done.stderr
            assert text or name in ("flush", "reset", "signal", "wait"), name
            if name in SAYS_WHAT_THE_FILE_SAYS:
                own = in_the_file(folder)
                # JSON has no references: `convert` writes what they stand for.
                own += ("canary-outside",) if (name, more) == ("convert", ["--json"]) else ()
                text = " ".join(leaks({name: text}, allowed=own))
            seen[f"{name} {more}"] = text
    seen["junit"] = (folder / "junit.xml").read_text()
    assert "smoke failed" in seen["smoke []"]
    assert not leaks(seen)


def test_no_command_of_pm2_tells_a_secret(it: Operated, folder: Path) -> None:
    """The same under PM2's name; `pm2 env` and `jlist` are known for it."""
    assert set(PM2_CALLS) <= set(PM2_COMMANDS)
    seen = {}
    env = {"PIDONE_SOCKET": it.socket, "PM2_HOME": str(folder / "home")}
    names = [name for name in PM2_COMMANDS if name not in ("kill", "monit", "imonit", "dash", "dashboard")]
    for name in [*sorted(names, key=lambda name: name.startswith("del")), "kill"]:
        words = PM2_CALLS.get(name, "{}").format(name, file=folder / "ecosystem.toml").split()
        done = command(*words, name=str(folder / "pm2"), env=env)
        seen[name] = done.stdout + done.stderr
    assert not leaks(seen)
    assert (folder / "home/dump.toml").stat().st_mode & 0o077 == 0


def test_no_answer_of_the_api_tells_a_secret(it: Operated) -> None:
    """Every path on either side and with the token, every action, and both streams."""
    it.run.expect(event="alert.failed", count=2)
    paths = it.ask("/api/openapi.json").json["paths"]
    seen: dict[str, str] = {}
    del paths["/api/events"]  # it does not end; see below
    for path, methods in paths.items():
        where = path.replace("{target}", "api")
        for method in sorted(methods.keys() & {"get", "post"}):
            for tcp, headers in (
                (False, {}),
                (True, {}),
                (True, {"authorization": "Bearer canary-admin-token"}),
            ):
                reply = it.ask(where, method.upper(), {} if method == "post" else None, tcp=tcp, **headers)
                seen[f"{method} {where} {tcp}"] = reply.body.decode() + str(reply.headers)
    seen["page"] = it.ask("/", tcp=True).body.decode()
    seen["verbose"] = it.ask("/readyz?verbose").body.decode()
    seen["wrong token"] = it.ask(
        "/api/drain", "POST", {}, tcp=True, authorization="Bearer canary"
    ).body.decode()
    for stream in ("/api/events?lines=200", "/api/logs?follow=1&lines=9999"):
        seen[stream] = streamed(it, stream)
    assert not leaks(seen)


def streamed(it: Operated, path: str) -> str:
    """What a follower gets at once."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(it.socket)
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        text = b""
        while b"alert.failed" not in text:
            text += client.recv(65536)
    return text.decode()


def test_no_log_and_no_last_word_tells_a_secret(folder: Path) -> None:
    """Events of probes, hooks, alerts, a crash and the end, at every level, and the termination message."""
    (folder / "termination").touch()
    text = ECOSYSTEM.format(folder=folder, python=PYTHON, port=free_port())
    text = text.replace('name = "victim"', 'name = "victim"\nessential = true\nautorestart = false')
    env = {**OUTSIDE, "PIDONE_TERMINATION_LOG": str(folder / "termination")}
    with operated(folder, text, "--log-level", "debug", env=env) as it:
        it.command("start", "ill", "--no-wait")
        it.run.expect(event="alert.failed", count=2)
        it.run.expect(event="hook.failed")
        it.run.expect(event="instance.unhealthy", app="ill")
        it.command("signal", "api", "SEGV")
        it.run.expect(event="instance.exit", app="api")
        (folder / "ecosystem.toml").write_text(text.replace('"5s"', '"http://u:canary-no@h/?token=canary"'))
        it.run.signal(1)
        it.run.expect(event="config.rejected")
        it.command("signal", "victim", "KILL")
        assert it.run.wait() == 137
    assert it.run.out is not None
    assert it.run.err is not None
    last = (folder / "termination").read_text()
    assert "victim" in last
    assert not leaks({"stdout": it.run.out.text(), "stderr": it.run.err.text(), "termination": last})


BROKEN = {
    "e.toml": (
        '[[apps]]\nscript = "x"\n[apps.env]\nDB_PASSWORD = "canary',
        '[[apps]]\nscript = "/bin/true"\nenv = "canary-1"',
        '[[apps]]\nscript = "/bin/true"\nenv = { DB_PASSWORD = "\\u0000canary" }',
        '[[apps]]\nscript = "/bin/true"\nsecrets = { A = "/nowhere" }\nenv = { API_KEY = "canary" }',
        '[[apps]]\nscript = "/bin/true"\n[[alerts]]\ncpu = 1\nwebhook = "hooks.example/canary/x"',
        '[[apps]]\nscript = "/bin/true"\n[[alerts]]\ncpu = 1\nwebhook = ["https://u:canary@h/canary"]',
        '[[apps]]\nscript = "/bin/true"\nready = { http = "ftp://u:canary@h/?token=canary" }',
        '[[apps]]\nscript = "/bin/true"\nhealth = { http = "http://u:canary@h.example/?token=canary" }',
        '[[static]]\npath = "/"\nport = 1\nbasic_auth = { username = "u", password = ["canary"] }',
        '[[apps]]\nscript = "/bin/true"\nenv_file = "/nowhere"\nargs = ["--token", "canary"]\nnope = 1',
        '[[apps]]\nscript = "/nowhere --token canary"',
        '[[apps]]\nscript = "/nowhere"\nargs = "--token canary"',
        '[[apps]]\nscript = "/bin/true"\nDB_PASSWORD = "canary"',
    ),
    "e.yaml": (
        "apps:\n  - script: x\n    env:\n      DB_PASSWORD: 'canary\n",
        "apps:\n  - script: x\n    env: {DB_PASSWORD: canary, A: }}\n",
    ),
    "e.json": ('{"apps": [{"script": "x", "env": {"DB_PASSWORD": "canary", }}]}',),
    "e.config.js": (
        "module.exports = {apps: [{script: 'x', env: {DB_PASSWORD: 'canary' 'x'}}]}",
        "const DB_PASSWORD = 'canary'; module.exports = {apps: [{script: x.y.z}]}",
    ),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BROKEN.items() for text in texts])
def test_no_message_about_a_file_quotes_a_secret(
    tmp_path: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a start that is refused, nor its termination message, nor `check`."""
    (tmp_path / name).write_text(text)
    (tmp_path / "termination").touch()
    env = {**OUTSIDE, "PIDONE_TERMINATION_LOG": str(tmp_path / "termination"), "PIDONE_SOCKET": "none"}
    with pidone(str(tmp_path / name), env=env) as run:
        assert run.wait() in (78, 127)
        assert run.out is not None
        assert run.err is not None
        seen = {"start": run.out.text() + run.err.text(), "last": (tmp_path / "termination").read_text()}
    assert seen["last"]
    done = command("smoke", name, "--timeout", "5", env=env, cwd=tmp_path)
    seen["smoke"] = done.stdout + done.stderr
    monkeypatch.chdir(tmp_path)
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    for words in (["check", name], ["check", name, "--json"]):
        run_command(words)  # 0, where only a start finds out
        seen[" ".join(words)] = "".join(capfd.readouterr())
    assert not leaks(seen)


def test_monit_tells_no_secret(it: Operated) -> None:
    """On its screen, with the details of an app, and as JSON."""
    it.run.expect(event="alert.failed", count=2)
    screens = []
    with monit(it.socket, 200, 60) as terminal:
        terminal.until("log of")
        terminal.press("a")
        screens.append(terminal.until("alert.failed"))
        for key in "dze":
            terminal.press(key)
            screens.append(
                terminal.until("environment" if key == "z" else "details of" if key == "d" else "events of")
            )
        terminal.press("q")
        terminal.wait()
    env = {**os.environ, "PIDONE_SOCKET": it.socket}
    with spawned([PIDONE, "monit", "--json"], stdout=subprocess.PIPE, text=True, env=env) as lines:
        assert lines.stdout is not None
        said = lines.stdout.readline()
        lines.kill()
    assert not leaks({"screen": "\n".join(screens), "json": said})


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_dashboard_tells_no_secret(it: Operated) -> None:
    """Whatever the page shows after a while, its log included."""
    it.run.expect(event="alert.failed", count=2)
    with browser() as page:
        page.open(f"http://127.0.0.1:{it.port}/", width=1200, height=1000)
        page.until("document.getElementById('log').textContent.includes('alert.failed')")
        page.until("document.querySelectorAll('.tile').length === 4")
        assert not leaks({"page": page.run("document.documentElement.outerHTML")})


def test_a_bug_in_a_command_shows_no_variables(folder: Path) -> None:
    """A traceback has lines of code and no values: no pretty one with every local variable."""
    code = (
        "import sys, pidone.cli.click_app as c, pidone.cli.operate.client as s\n"
        "def ask(*words):\n    secret = 'can' + 'ary'\n    raise RuntimeError\n"
        "s.Client.find = ask\nc.run(['ls'])\n"
    )
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    assert "RuntimeError" in done.stderr
    assert not leaks({"traceback": done.stdout + done.stderr})
    assert "╭" not in done.stderr


def test_names_are_shown_and_harmless_values_too(it: Operated) -> None:
    """The masked environment is still of use: names, paths, and URLs without their credentials."""
    [app] = it.ask("/api/apps/api/env").json["apps"]
    env = app["env"]
    assert env["DB_PASSWORD"] == "***"
    assert env["DATABASE_URL"] == "postgres://***@db.example/app"
    assert env["CALLBACK"] == "https://example/?a=b&api_key=***"
    assert env["NODE_APP_INSTANCE"] == "0"
    assert (
        "--password *** --token=*** API_KEY=*** http://***@db.example/?token=***"
        in it.command("describe", "api").stdout
    )
