"""The relay with real pipes and children: every line arrives once, in order, as a JSON object."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import harness
import pytest
from harness import DEADLINE_S
from logs.relaying import NOON_TEXT, Reader, app, stage

PAGE = os.sysconf("SC_PAGE_SIZE")


def test_a_line_becomes_one_record_with_the_keys_in_their_order() -> None:
    """A line on stdout is one JSON object with timestamp, level, app, instance, pid, stream and message."""
    with stage() as it:
        outlet = it.open(app(), 3)
        it.say(outlet, b"hello\n")
        outlet.spawned(77)
        outlet.finish()
        assert it.text() == (
            b'{"timestamp":"%s","level":"info","app":"api","instance":3,"pid":77,"stream":"stdout",'
            b'"message":"hello"}\n' % NOON_TEXT.encode()
        )


@pytest.mark.parametrize(
    ("written", "messages"),
    [
        (b"a\nb\n\nc\n", ["a", "b", "", "c"]),
        (b"no end", ["no end"]),
        (b"dos\r\nunix\n", ["dos", "unix"]),
        (b"progress 1\rprogress 2\n", ["progress 1\rprogress 2"]),
        (b'"quoted" back\\slash \\n\n', ['"quoted" back\\slash \\n']),
        (
            b"nul \0 bell \a escape \x1b[31m tab \t del \x7f\n",
            ["nul \0 bell \a escape \x1b[31m tab \t del \x7f"],
        ),
        (b"bad \xff\xfe utf \xe2\x82\n\x80\n", ["bad �� utf �", "�"]),
        ("Grüße 😀 \u2028 \ufeff\n".encode(), ["Grüße 😀 \u2028 \ufeff"]),
    ],
)
def test_any_bytes_come_out_as_the_same_text(written: bytes, messages: list[str]) -> None:
    """Control characters are escaped, invalid UTF-8 is replaced, a last line needs no end."""
    with stage() as it:
        outlet = it.open(app())
        it.say(outlet, written)
        outlet.spawned(1)
        outlet.finish()
        assert it.messages() == messages


def test_both_streams_are_told_apart() -> None:
    """stderr has its own stream name, and the level warning unless a line tells another."""
    with stage() as it:
        it.spawn(app(), ["sh", "-c", "echo out; echo err >&2"])
        it.run()
        found = {(r["stream"], r["level"], r["message"]) for r in it.records() if "event" not in r}
        assert found == {("stdout", "info", "out"), ("stderr", "warning", "err")}


PYTHON = """
import os
for start in range(0, 100_000, 1000):
    data = b"".join(b"%d\\n" % n for n in range(start, start + 1000))
    while data:
        data = data[os.write(1, data):]
"""
BASH = "for ((n = 0; n < 100000; n++)); do echo $n; done\n"
NODE = "for (let n = 0; n < 100000; n++) console.log(n)\n"
NODE_RAW = "for (let n = 0; n < 100000; n++) process.stdout.write(`${n}\\n`)\n"


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param((sys.executable, "-c", PYTHON + "os._exit(3)"), id="python, exit"),
        pytest.param((sys.executable, "-c", PYTHON + "os.kill(os.getpid(), 9)"), id="python, kill -9"),
        pytest.param((sys.executable, "-c", PYTHON + "raise SystemError"), id="python, exception"),
        pytest.param(("node", "-e", NODE + "process.exit(3)"), id="node, exit"),
        pytest.param(("node", "-e", NODE + "process.kill(process.pid, 9)"), id="node, kill -9"),
        pytest.param(("node", "-e", NODE + "throw new Error('boom')"), id="node, exception"),
        pytest.param(("node", "-e", NODE_RAW + "process.exit(3)"), id="node's write, exit"),
        pytest.param(("node", "-e", NODE_RAW + "process.abort()"), id="node's write, abort"),
        pytest.param(("bash", "-c", BASH + "exit 3"), id="bash, exit"),
        pytest.param(("bash", "-c", BASH + "kill -9 $$"), id="bash, kill -9"),
        pytest.param(("bash", "-c", "set -u\n" + BASH + "echo $nothing"), id="bash, error"),
    ],
)
def test_what_reached_the_pipe_arrives_before_the_exit(argv: Sequence[str]) -> None:
    """100,000 lines and then a sudden death: all of them come before the exit event."""
    if shutil.which(argv[0]) is None:
        pytest.skip(f"needs {argv[0]}")
    with stage() as it:
        it.spawn(app(), argv)
        it.run()
        records = it.records()
        out = [r["message"] for r in records if r.get("stream") == "stdout"]
        assert out == [str(n) for n in range(100_000)]
        assert records[-1]["event"] == "instance.exit"


def test_a_grandchild_with_the_pipe_delays_nothing_and_is_still_heard(tmp_path: Path) -> None:
    """The exit is reported while a descendant holds the pipe; what that writes later arrives too."""
    go = tmp_path / "go"
    os.mkfifo(go)
    with stage() as it:
        it.spawn(app(), ["sh", "-c", f"(read x < {go}; echo later) & echo now"])
        it.run()
        go.write_text("x\n")
        it.turn(lambda: not it.relay._readers)
        records = it.records()
        assert [r.get("event") or r["message"] for r in records] == ["now", "instance.exit", "later"]
    for pid in harness.children(os.getpid()):
        os.waitpid(pid, 0)


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_an_outlet_that_never_had_a_process_gives_its_pipes_back() -> None:
    """A failed spawn leaves no descriptor open."""
    with stage() as it:
        before = descriptors()
        it.open(app()).finish()
        assert descriptors() == before


def test_a_writer_waits_while_stdout_is_stalled_and_nothing_is_lost() -> None:
    """A stdout that nobody reads fills up, the app blocks, and all arrives when somebody reads again."""
    read, write = os.pipe()
    count = 200_000
    with stage(stdout_fd=write) as it:
        pid = it.spawn(app(), ["seq", str(count)])
        it.turn(lambda: it.relay._output.full)
        assert harness.alive(pid)
        reader = Reader(read)
        it.run()
        it.close()
        os.close(write)
        lines = reader.join().splitlines()
        os.close(read)
        messages = [r["message"] for r in map(json.loads, lines) if "message" in r and "event" not in r]
        assert messages == [str(n) for n in range(1, count + 1)]


def test_lines_that_did_not_fit_when_a_process_ended_follow_when_there_is_room() -> None:
    """A process dies beside a stalled stdout, with more in its pipe than the queue takes: nothing is lost."""
    read, write = os.pipe()
    with stage(stdout_fd=write) as it:
        outlet = it.open(app())
        count = 0
        os.set_blocking(outlet.stdout, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                count += os.write(outlet.stdout, b"\n" * 4096)
        outlet.spawned(1)
        outlet.finish()
        assert it.relay._output.overfull
        reader = Reader(read)
        it.close()
        os.close(write)
        assert reader.join().count(b"\n") == count
        os.close(read)


@pytest.mark.parametrize("is_read", [True, False], ids=["slow", "stalled"])
def test_at_the_end_a_slow_stdout_is_waited_for_and_a_stalled_one_is_not(*, is_read: bool) -> None:
    """Patience is for a stdout that takes nothing: from one that is read on and on, nothing is cut off."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PAGE)
    patience, lines = 1.0, 30
    taken = bytearray()

    def slowly() -> None:
        while data := os.read(read, PAGE):
            taken.extend(data)
            time.sleep(patience / 10)

    with stage(stdout_fd=write) as it:
        outlet = it.open(app())
        it.say(outlet, (b"x" * (PAGE // 2) + b"\n") * lines)
        outlet.spawned(1)
        outlet.finish()
        reader = threading.Thread(target=slowly)
        if is_read:
            reader.start()
        began = time.monotonic()
        assert it.relay.close(patience, DEADLINE_S) is is_read
        waited = time.monotonic() - began
    os.close(write)
    if is_read:
        reader.join()
        assert waited > patience
        assert taken.count(b"\n") == lines
    os.close(read)


def test_a_closed_stdout_is_reported_once_and_stops_nobody() -> None:
    """When the reader of stdout goes away the relay says so once; apps can still write and end."""
    read, write = os.pipe()
    os.close(read)
    with stage(stdout_fd=write) as it:
        it.spawn(app(), ["seq", "100000"])
        it.run()
        it.turn(lambda: it.lost)
        assert [type(error) for error in it.lost] == [BrokenPipeError]
    os.close(write)


def test_a_missing_stdout_is_reported_too() -> None:
    """If the descriptor is not open at all, nothing is written into whatever gets its number."""
    with stage(stdout_fd=999) as it:
        it.turn(lambda: it.lost)
        assert it.lost[0].errno == errno.EBADF


def test_the_flags_of_a_shared_stdout_are_left_alone() -> None:
    """stdout does not become non-blocking for others that have it open."""
    read, write = os.pipe()
    with stage(stdout_fd=write) as it:
        it.relay.event("info", "runtime.start")
        it.close()
        assert os.get_blocking(write)
    os.close(read)
    os.close(write)


def test_lines_of_a_killed_writer_are_whole() -> None:
    """A writer killed in full flood leaves only whole records."""
    with stage() as it:
        pid = it.spawn(app(), ["yes", "a line that is always the same"])
        it.turn(lambda: it.relay._output._writer and os.fstat(it.out.fileno()).st_size > 1_000_000)
        os.kill(pid, signal.SIGKILL)
        it.run()
        *lines, last = it.messages()
        assert set(lines) == {"a line that is always the same"}
        assert "a line that is always the same".startswith(last)
