"""Stack traces become one message; lines that are none pass at once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from logs.relaying import app, stage

from pidone.bounded_search import BoundedSearch
from pidone.logs import pipeline
from pidone.logs.escape import JOINT
from pidone.logs.multiline import joiner

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
    held = joiner(language if mode == "own" else "auto", ROOM, BoundedSearch(bool))
    messages = (held.feed(text.encode()) + held.flush()).split(b"\n")[:-1]
    assert [m.replace(JOINT, b"\n").decode() for m in messages] == [
        "before",
        "\n".join(text.splitlines()[1:-1]),
        "after",
    ]


PYTHON_CHAIN = """
def f():
    try:
        {}["a"]
    except KeyError as e:
        try:
            raise ValueError("two") from e
        except ValueError:
            raise RuntimeError("three")
f()
"""
PYTHON_GROUPS = """
def f():
    try:
        raise ExceptionGroup("eg", [ValueError(1), ExceptionGroup("in", [TypeError(2), KeyError("x")])])
    except ExceptionGroup as e:
        raise RuntimeError("after") from e
try:
    f()
except RuntimeError as e:
    raise ExceptionGroup("last", [ValueError("a"), e])
"""
NODE_CAUSE = "function f() { throw new Error('outer', {cause: new TypeError('inner')}) }\nf()"
NODE_ANY = "Promise.any([Promise.reject(new Error('a')), Promise.reject(new RangeError('b'))])"
NODE_AGGREGATE = "const e = new AggregateError([new Error('a')], 'all'); e.code = 'X'; throw e"
NODE_CAUGHT = "console.error(new Error('outer', {cause: new TypeError('inner')}))"
JAVA_SUPPRESSED = """Exception in thread "main" java.lang.IllegalStateException: outer
\tat T.main(T.java:4)
Caused by: java.lang.Exception: inner
\tat T.g(T.java:3)
\tat java.base/java.lang.reflect.Method.invoke(Method.java:569)
\tSuppressed: java.lang.IllegalArgumentException: closing
\t\tat T$Res.close(T.java:2)
\t\t... 9 more
\tCaused by: java.lang.Error: deep
\t\t... 10 more
"""
PROGRAMS = [
    pytest.param("python", (sys.executable, "-c", PYTHON_CHAIN), id="python, chained"),
    pytest.param("python", (sys.executable, "-c", PYTHON_GROUPS), id="python, groups"),
    pytest.param("python", (sys.executable, "-c", "x = = 1"), id="python, syntax"),
    pytest.param("node", ("node", "-e", NODE_CAUSE), id="node, cause"),
    pytest.param("node", ("node", "-e", NODE_ANY), id="node, any"),
    pytest.param("node", ("node", "-e", NODE_AGGREGATE), id="node, aggregate"),
    pytest.param("node", ("node", "-e", NODE_CAUGHT), id="node, caught"),
    pytest.param("node", ("node", "-e", "Promise.reject('why')"), id="node, no error"),
    pytest.param("node", ("node", "-e", "x = = 1"), id="node, syntax"),
    pytest.param("java", ("sh", "-c", f"printf %s '{JAVA_SUPPRESSED}' >&2"), id="java, suppressed"),
]


@pytest.mark.parametrize("mode", ["own", "auto"])
@pytest.mark.parametrize(("language", "argv"), PROGRAMS)
def test_what_a_program_dies_with_is_one_message(
    language: str, argv: tuple[str, ...], mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real traces, chained, grouped and with causes; what is on the other stream does not get between."""
    if shutil.which(argv[0]) is None:
        pytest.skip(f"needs {argv[0]}")
    if argv[1] in ("-c", "-e") and argv[0] != "sh":
        script = tmp_path / "script"  # `-e` and `-c` are reported in other words than files
        script.write_text(argv[2])
        argv = (argv[0], str(script))
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stderr.removesuffix("\n")
    assert "\n" in said
    slowly = 'while IFS= read -r line; do echo "$line" >&2; echo between; done < "$0"; echo after >&2'
    (tmp_path / "said").write_text(said + "\n")
    monkeypatch.setattr(pipeline, "PATIENCE", 60.0)  # a busy machine may pause between two lines
    with stage() as it:
        it.spawn(
            app(multiline=language if mode == "own" else "auto"),
            ("bash", "-c", slowly, str(tmp_path / "said")),
        )
        it.run()
        assert it.messages(stream="stderr") == [said, "after"]


def test_a_pattern_tells_first_lines() -> None:
    """What does not match belongs to the line before."""
    held = joiner(r"^\d{4}-", ROOM, BoundedSearch(bool))
    text = b"2026-1 a\n more\n and more\n2026-2 b\n"
    messages = (held.feed(text) + held.flush()).split(b"\n")[:-1]
    assert messages == [JOINT.join((b"2026-1 a", b" more", b" and more")), b"2026-2 b"]


def test_ordinary_lines_are_not_held() -> None:
    """Only what may be the beginning of a trace waits."""
    held = joiner("auto", ROOM, BoundedSearch(bool))
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
