"""Canaries: secrets that are planted everywhere and must be seen nowhere."""

import json
import socket
from pathlib import Path

import pytest
from control.operated import Operated, operated
from harness import DEADLINE_S, PYTHON, eventually

CANARIES = {
    "DB_PASSWORD": "canary-password-one",
    "API_TOKEN": "canary-token-two",
    "STRIPE_KEY": "canary-key-three",
    "DATABASE_URL": "postgres://canary-user:canary-four@db.example/app",
    "PLAIN": "canary9five9random9value9AbCdEf",
    "FROM_OUTSIDE_SECRET": "canary-outside-six",
}
COMMANDS = (
    *(
        "ls",
        "ls --json",
        "describe api",
        "env api",
        "env api --json",
        "jlist",
        "prettylist",
        "logs",
        "health",
    ),
    *("restart api", "send api x", "stop apj", "trigger api x", "scale api 2", "reload api"),
)
PATHS = ("/livez", "/readyz?verbose", "/startupz", "/metrics", "/", "/api", "/api/openapi.json", "/api/apps")


def ecosystem(folder: Path) -> str:
    """An app that has them all, and an argument that is one."""
    given = "\n".join(
        f"{name} = {json.dumps(value)}" for name, value in CANARIES.items() if "OUTSIDE" not in name
    )
    (folder / "app.py").write_text("import time\ntime.sleep(1000)\n")
    return f"""
    [[apps]]
    name = "api"
    script = "{PYTHON}"
    args = ["{folder}/app.py", "--password", "canary-arg-seven", "--token=canary-arg-eight"]
    ready_delay = 0
    [apps.env]
    {given}
    """


@pytest.mark.parametrize("level", ["info", "debug"])
def test_no_secret_is_seen_anywhere(tmp_path: Path, level: str) -> None:
    """Neither answers, commands, events, logs, metrics nor reports of bugs hold a value that was planted."""
    outside = {"FROM_OUTSIDE_SECRET": CANARIES["FROM_OUTSIDE_SECRET"]}
    seen = []
    with operated(tmp_path, ecosystem(tmp_path), "--log-level", level, env=outside) as it:
        seen += [it.ask(path, tcp=tcp).body.decode() for path in PATHS for tcp in (True, False)]
        seen += [it.ask(f"/api/apps/api{rest}").body.decode() for rest in ("", "/env")]
        for words in COMMANDS:
            done = it.command(*words.split())
            seen += [done.stdout, done.stderr]
        seen.append(events(it))
        # A death makes the runtime report.
        it.ask("/api/apps/api/signal", "POST", {"signal": "SEGV"})
        eventually(lambda: it.app("api")["restarts"] > 0)
        seen.append(it.ask("/api/apps/api").body.decode())
    assert it.run.out is not None
    assert it.run.err is not None
    seen += [it.run.out.text(), it.run.err.text()]
    assert not [word for text in seen for word in text.split() if "canary" in word]


def test_names_are_shown_and_harmless_values_too(tmp_path: Path) -> None:
    """The masked environment is still of use: names, paths, and URLs without their credentials."""
    with operated(tmp_path, ecosystem(tmp_path)) as it:
        [app] = it.ask("/api/apps/api/env").json["apps"]
        env = app["env"]
        assert env["DB_PASSWORD"] == "***"
        assert env["DATABASE_URL"] == "postgres://***@db.example/app"
        assert env["NODE_APP_INSTANCE"] == "0"


def events(it: Operated) -> str:
    """What a follower of the events gets at once."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(it.socket)
        client.sendall(b"GET /api/events?lines=100 HTTP/1.1\r\nhost: x\r\n\r\n")
        text = b""
        while b"instance.online" not in text:
            text += client.recv(65536)
    return text.decode()
