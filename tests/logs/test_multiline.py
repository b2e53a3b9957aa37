"""Stack traces become one message; lines that are none pass at once."""

import os

import pytest
from logs.relaying import app, stage

from runtime.logs.escape import JOINT
from runtime.logs.multiline import joiner

ROOM = 16_000
PYTHON = """before
Traceback (most recent call last):
  File "a.py", line 3, in f
    1 / 0
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 5, in <module>
    raise KeyError
KeyError
after
"""
NODE = """before
/app/server.js:10
    throw new Error('boom');
    ^

Error: boom
    at f (/app/server.js:10:11)
    at Module._compile (node:internal/modules/cjs/loader:1554:14) {
  code: 'E_BOOM'
}

Node.js v20.20.2
after
"""
JAVA = """before
Exception in thread "main" java.lang.IllegalStateException: outer
\tat com.example.App.main(App.java:14)
Caused by: java.lang.RuntimeException: inner
\tat com.example.App.inner(App.java:9)
\t... 1 more
after
"""


@pytest.mark.parametrize("mode", ["own", "auto"])
@pytest.mark.parametrize(
    ("language", "text"),
    [pytest.param("python", PYTHON, id="python"), pytest.param("node", NODE, id="node"), ("java", JAVA)],
)
def test_a_trace_is_one_message(language: str, text: str, mode: str) -> None:
    """The lines around it stay messages of their own, and no line is lost."""
    held = joiner(language if mode == "own" else "auto", ROOM)
    messages = (held.feed(text.encode()) + held.flush()).split(b"\n")[:-1]
    assert [m.replace(JOINT, b"\n").decode() for m in messages] == [
        "before",
        "\n".join(text.splitlines()[1:-1]),
        "after",
    ]


def test_a_pattern_tells_first_lines() -> None:
    """What does not match belongs to the line before."""
    held = joiner(r"^\d{4}-", ROOM)
    text = b"2026-1 a\n more\n and more\n2026-2 b\n"
    messages = (held.feed(text) + held.flush()).split(b"\n")[:-1]
    assert messages == [JOINT.join((b"2026-1 a", b" more", b" and more")), b"2026-2 b"]


def test_ordinary_lines_are_not_held() -> None:
    """Only what may be the beginning of a trace waits."""
    held = joiner("auto", ROOM)
    assert held.feed(b"one\ntwo\n") == b"one\ntwo\n"
    assert not held.holds


def test_a_held_message_comes_out_after_a_moment() -> None:
    """The last trace of an app that lives on is not held back for ever."""
    with stage() as it:
        outlet = it.open(app(multiline="python"))
        it.say(outlet, b"Traceback (most recent call last):\n  File x\nKeyError\n")
        keep = os.dup(outlet.stdout)
        outlet.spawned(1)
        it.turn(lambda: os.fstat(it.out.fileno()).st_size)
        os.close(keep)
        assert it.messages() == ["Traceback (most recent call last):\n  File x\nKeyError"]


def test_a_trace_at_the_end_of_a_process_is_whole() -> None:
    """The end of the process ends the message."""
    with stage() as it:
        outlet = it.open(app(multiline="auto"))
        it.say(outlet, PYTHON.encode(), stream="stderr")
        outlet.spawned(1)
        outlet.finish()
        assert len(it.messages()) == 3
