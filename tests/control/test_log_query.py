"""Which records `GET /api/logs` and `pidone logs` give."""

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from control.operated import Operated, operated
from harness import DEADLINE_S, PIDONE, eventually

from pidone.control.answers.log_query import choose
from pidone.control.http.messages import Refusal

LOGGERS = r"""
printf '%s\n' '{"level":30,"time":1767225600000,"pid":1,"hostname":"h","msg":"pino said so","route":"/a"}'
printf '%s\n' '{"level":"warn","message":"winston said so","timestamp":"2026-01-01T00:00:00.000Z"}'
printf '%s\n' '{"name":"x","pid":1,"level":50,"msg":"bunyan said so","time":"2026-01-01T00:00:00Z"}'
printf '%s\n' '{"event":"structlog said so","level":"error","timestamp":"2026-01-01T00:00:00Z","user":"ann"}'
printf '%s\n' '{"@timestamp":"2026-01-01T00:00:00Z","message":"logback said so","level":"DEBUG"}'
exec sleep 1000
"""
PAIR = """
[[apps]]
name = "pair"
script = "/bin/sh"
args = ["-c", 'echo "line of $INSTANCE"; echo "bad line of $INSTANCE" >&2; exec sleep 1000']
instances = 2
instance_var = "INSTANCE"
"""
FILE = f"""{PAIR}
[[apps]]
name = "loggers"
script = "/bin/sh"
args = ["-c", '''{LOGGERS}''']
[[apps]]
name = "plain"
script = "/bin/sh"
args = ["-c", "echo plain line; exec sleep 1000"]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """Three apps that have said what they say."""
    with operated(tmp_path_factory.mktemp("logs"), FILE) as it:
        eventually(lambda: len(said(it)) == 10)
        yield it


def said(it: Operated, *words: str) -> list[str]:
    """The messages of apps."""
    done = it.command("logs", "--no-events", *words)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]  # a pipe: NDJSON
    return [next(str(each[key]) for key in ("message", "msg", "event") if key in each) for each in records]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["plain"], ["plain line"]),
        (["plain", "pair:1"], ["plain line", "line of 1", "bad line of 1"]),
        (["pair", "--err"], ["bad line of 0", "bad line of 1"]),
        (["--grep", "of [1]"], ["line of 1", "bad line of 1"]),
        (["--grep", "^line", "pair"], ["line of 0", "line of 1"]),
        (["--grep", '"user":"ann"'], ["structlog said so"]),
        (["--grep", "line of", "-n", "1", "pair:1"], ["bad line of 1"]),
        (["loggers", "--level", "error"], ["bunyan said so", "structlog said so"]),
        (["loggers", "--level", "warning"], ["winston said so", "bunyan said so", "structlog said so"]),
        (["loggers", "--level", "warning", "-n", "1"], ["structlog said so"]),
        (["loggers", "--until", "2000-01-01T00:00:00Z"], []),
        (["plain", "--since", "1h", "--until", "2100-01-01T00:00:00Z"], ["plain line"]),
        (["plain", "--since", "2100-01-01T00:00:00Z"], []),
    ],
    ids=" ".join,
)
def test_what_is_asked_for(running: Operated, words: list[str], expected: list[str]) -> None:
    """By target, text, level and time; every logger's level counts."""
    assert sorted(said(running, *words)) == sorted(expected)


def test_what_happens_to_an_app_stands_among_its_lines(running: Operated) -> None:
    """Its start before its first line, the becoming online after it; nothing of other apps."""
    done = running.command("logs", "plain")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    told = [each.get("event") or each["message"] for each in records]
    assert told.index("instance.start") < told.index("plain line") < told.index("instance.online")
    assert {each["app"] for each in records} == {"plain"}


def test_a_follower_gets_what_it_asked_for(tmp_path: Path) -> None:
    """The same choice holds for what was and what comes."""
    words = ("logs", "-f", "pair:0", "--grep", "bad", "--no-events")
    with operated(tmp_path, PAIR) as it:
        where = ("--socket", it.socket)
        with subprocess.Popen([PIDONE, *words, *where], stdout=subprocess.PIPE, text=True) as follower:
            limit = threading.Timer(DEADLINE_S, follower.kill)
            limit.start()
            try:
                assert follower.stdout is not None
                assert json.loads(follower.stdout.readline())["message"] == "bad line of 0"
                it.command("restart", "pair")
                assert json.loads(follower.stdout.readline())["message"] == "bad line of 0"
            finally:
                limit.cancel()
                follower.kill()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--grep", "("], 64, "--grep: expected a regular expression"),
        (["--since", "yesterday"], 1, "since: expected a duration"),
        (["--until", "1x"], 1, "until: expected a duration"),
        (["--level", "loud"], 64, "Invalid value for '--level'"),
        (["-f", "--until", "1h"], 64, "--until is about what was"),
        (["nobody"], 66, "there is no app 'nobody'"),
        (["plain", "nobody"], 66, "there is no app 'nobody'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_question_is_told(running: Operated, words: list[str], code: int, message: str) -> None:
    """By name, with what would be right."""
    done = running.command("logs", *words)
    assert done.returncode == code
    assert message in done.stderr


def test_a_comma_is_no_name(tmp_path: Path) -> None:
    """Unless an app is called so."""
    file = '[[apps]]\nname = "a,b"\nscript = "/bin/sh"\nargs = ["-c", "echo x; exec sleep 99"]\n'
    with operated(tmp_path, file) as it:
        eventually(lambda: said(it, "a,b") == ["x"])


def test_an_unknown_level_over_http() -> None:
    """What the command checks itself, others are told."""
    with pytest.raises(Refusal):
        choose({"level": "loud"}, 0.0)


SLOW = r"(.*)(.*)(.*)(.*)#"
"""Years, on a line of some thousand characters."""


def test_no_pattern_keeps_anybody_busy(tmp_path: Path) -> None:
    """Nor the command: who asks for it computes it, for a moment, and process 1 never."""
    line = "a" * 3000
    app = f'[[apps]]\nname = "long"\nscript = "/bin/sh"\nargs = ["-c", "echo {line}; exec sleep 1000"]\n'
    with operated(tmp_path, app) as it:
        eventually(lambda: line in it.command("logs").stdout)
        done = it.command("logs", "--grep", SLOW)
        assert done.returncode == 64
        assert "--grep: the pattern takes too long on {" in done.stderr
        assert line in it.command("logs", "--grep", "a$").stdout
