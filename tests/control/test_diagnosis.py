"""Why something is not well, and what to do: the same words wherever one looks."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control.operated import Operated, operated
from harness import eventually, free_port

from pidone.cli.operate import overview
from pidone.control.answers.diagnosis import Diagnosis, together

TROUBLE = """
[[apps]]
name = "crashes"
script = "/bin/sh"
args = ["-c", "echo 'KeyError: DATABASE_URL' >&2; exit 3"]
restart_delay = "10m"
max_restarts = 100

[[apps]]
name = "hopeless"
script = "/bin/sh"
args = ["-c", "echo 'listen EADDRINUSE: address already in use :::3000' >&2; exit 1"]
restart_delay = 10
max_restarts = 1

[[apps]]
name = "missing"
script = "/bin/sh"
args = ["-c", "no-such-program"]
restart_delay = "10m"

[[apps]]
name = "starts"
script = "/bin/sleep"
args = "1000"
ready = "http://127.0.0.1:{port}/healthz"
listen_timeout = "1h"

[[apps]]
name = "late"
script = "/bin/sleep"
args = "1000"
ready = {{ exec = ["sh", "-c", "echo asking; echo 'db:5432 - no response' >&2; exit 2"] }}
listen_timeout = "3s"  # what its first look has said is known by then, where each look starts a shell

[[apps]]
name = "sick"
script = "/bin/sleep"
args = "1000"
ready_delay = 0
health = {{ tcp = "127.0.0.1:{port}", interval = 0.05, failures = 10000 }}

[[apps]]
name = "dependent"
script = "/bin/sleep"
args = "1000"
depends_on = {{ starts = "ready" }}

[[apps]]
name = "manual"
script = "/bin/sleep"
args = "1000"
autostart = false

[[apps]]
name = "fine"
script = "/bin/sleep"
args = "1000"
instances = 2
ready_delay = 0
"""
EXPECTED = {
    "crashes": (r"^ended with code 3: KeyError: DATABASE_URL$", r"`pidone env crashes`"),
    "hopeless": (
        r"^gave up after 1 unstable ends: ended with code 1: listen EADDRINUSE",
        r"`ss -ltnp`.*start",
    ),
    "missing": (r"ended with code 127 \(command not found\): .*no-such-program", r"missing in the image"),
    "starts": (r"^http://127.0.0.1:\d+/healthz: Connection refused", r"`pidone logs starts`"),
    "late": (
        r"^sh exited with 2: db:5432 - no response; counts as online since listen_timeout",
        r"logs late",
    ),
    "sick": (
        r"^its health check fails \(\d+ of 10000\): tcp 127.0.0.1:\d+: Connection refused",
        r"logs sick",
    ),
    "dependent": (r"^waits for starts to be ready$", r"`pidone describe starts`"),
    "manual": (r"^was not started: autostart = false$", r"`pidone start manual`"),
    "fine": (r"^$", r"^$"),
}


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """Every kind of trouble that lasts."""
    text = TROUBLE.format(port=free_port())
    with operated(tmp_path_factory.mktemp("trouble"), text, ready=False) as it:
        yield it


@pytest.fixture(autouse=True)
def no_process_left_behind() -> None:
    """The shared runtime outlives the tests here; its own `with` block leaves nothing."""


def words_of(it: Operated, name: str) -> tuple[str, str]:
    app = it.app(name)
    return app["why"], app["advice"]


@pytest.mark.parametrize("name", EXPECTED)
def test_each_app_says_why_and_what_to_do(troubled: Operated, name: str) -> None:
    """The cause in the app's own words where it has any, and the next step."""
    why, advice = EXPECTED[name]

    def is_said() -> bool:
        found = words_of(troubled, name)
        return bool(re.search(why, found[0]) and re.search(advice, found[1]))

    eventually(is_said, f"{name} to say why: {words_of(troubled, name)}")


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_ls_says_it_at_every_width(troubled: Operated, width: int) -> None:
    """In the table or below it, never wider than the terminal."""
    eventually(lambda: troubled.states("hopeless") == ["errored"], "it to give up")
    eventually(lambda: troubled.app("late")["why"], "it to be late")
    text = overview.render([troubled.ask("/api/apps/all").json], width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    for words in (
        "KeyError: DATABASE_URL",
        "next try in",
        "`ss -ltnp` names it",
        "waits for starts to be ready",
    ):
        assert words in flat


def test_describe_tells_the_last_look_of_a_probe(troubled: Operated) -> None:
    """What it saw and said, and how often in a row."""
    eventually(lambda: troubled.app("late")["why"], "it to be late")
    text = troubled.command("describe", "late").stdout
    assert re.search(r"^why +sh exited with 2: db:5432 - no response", text, re.MULTILINE)
    assert re.search(r"^to do +`pidone logs late`", text, re.MULTILINE)
    said = r"^probes +ready failed \d+ times: sh exited with 2: db:5432 - no response$"
    assert re.search(said, text, re.MULTILINE)
    assert "succeeded" not in text


def test_a_restart_is_told_of_for_a_while(tmp_path: Path) -> None:
    """All is well again, and whoever looks sees what was: one of two, and why."""
    (tmp_path / "api.sh").write_text(
        "[ $NODE_APP_INSTANCE = 0 ] || [ -e once ] || { touch once; echo 'Error: disk' >&2; exit 4; }\n"
        "exec sleep 1000\n"
    )
    text = """
[[apps]]
name = "api"
script = "/bin/sh"
args = ["api.sh"]
instances = 2
ready_delay = 0
restart_delay = 100
"""
    with operated(tmp_path, text) as it:
        eventually(lambda: it.app("api")["restarts"] == 1 and it.app("api")["ready"], "it to come back")
        assert re.search(r"^1 of 2 \(1\): restarted: ended with code 4: Error: disk$", it.app("api")["why"])
        instance: Any = it.app("api")["instances"][1]
        assert re.search(r"^restarted \d+ s ago: ended with code 4: Error: disk$", instance["why"])
        it.ask("/api/apps/api/restart", "POST")
        eventually(
            lambda: it.app("api")["ready"] and not it.app("api")["why"], "a wanted restart to be no trouble"
        )
        it.ask("/api/apps/api:0/stop", "POST")
        eventually(
            lambda: it.app("api")["instances"][0]["why"] == "was stopped on request", "the reason of a stop"
        )


def test_a_reload_that_fails_or_waits_says_why(tmp_path: Path) -> None:
    """What the successor said, and that the old ones still serve."""
    text = """
[[apps]]
name = "api"
script = "/bin/sh"
args = ["-c", "[ -e broken ] && echo 'SyntaxError: bad' >&2 && exit 5; exec sleep 1000"]
ready_delay = "2s"
listen = ["127.0.0.1:0"]
"""
    with operated(tmp_path, text) as it:
        (tmp_path / "broken").touch()
        it.ask("/api/apps/api/reload", "POST")
        eventually(lambda: (it.app("api")["reload"] or {}).get("state") == "failed", "the reload to fail")
        why, advice = words_of(it, "api")
        assert re.search(r"^the last reload failed: .*code 5.*: SyntaxError: bad(;|$)", why), why
        assert advice == "what ran before still runs; mend it, then `pidone reload api`"
        assert it.app("api")["ready"]


def test_a_change_of_the_file_that_was_called_off_is_said_until_it_is_there_or_taken_back(
    tmp_path: Path,
) -> None:
    """All serve, and nobody would look further, but it is not what the file says."""
    text = """
[[apps]]
name = "api"
script = "/bin/sh"
args = ["-c", "exec sleep 1000"]
ready_delay = "2s"
settle_time = "100ms"
listen = ["127.0.0.1:0"]
"""
    with operated(tmp_path, text) as it:

        def write(command: str) -> None:
            read = len(it.run.find(event="config.reload"))
            (tmp_path / "ecosystem.toml").write_text(text.replace("exec sleep 1000", command))
            it.run.signal(signal.SIGHUP)
            it.run.expect(event="config.reload", count=read + 1)

        write("echo 'SyntaxError: bad' >&2; exit 5")
        it.run.expect(event="app.reload_failed")
        why, advice = words_of(it, "api")
        assert re.search(r"^what its file says now was not taken: .*code 5.*: SyntaxError: bad(;|$)", why), (
            why
        )
        assert advice == "what ran before still runs; mend it, then have the file read again (SIGHUP)"
        write("exec sleep 1000")
        assert "not taken" not in words_of(it, "api")[0]
        write("exit 6")
        it.run.expect(event="app.reload_failed", count=2)
        write("exec sleep 1001")
        it.run.expect(event="app.reloaded")
        eventually(lambda: "not taken" not in words_of(it, "api")[0], "nothing to be said")


def test_what_instances_have_in_common_is_said_once() -> None:
    """And for few of many, of whom it is true."""
    sick, fine = Diagnosis("ended with code 3 (12 times)", "look"), Diagnosis()
    assert list(together({0: sick, 1: Diagnosis("ended with code 3 (7 times)")})) == [
        Diagnosis("ended with code 3", "look")
    ]
    found = list(together({n: sick if n in (2, 4, 5, 7) else fine for n in range(10)}))
    assert [each.why for each in found] == ["4 of 10 (2, 4, 5, …): ended with code 3"]
