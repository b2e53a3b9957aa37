"""Lines of ten megabytes through a real pipe: whole if that is asked for, else in pieces that add up."""

import json
import os
import sys
from pathlib import Path

import pytest
from logs.relaying import Reader, Stage, app, stage

from pidone.ecosystem.spec import AppSpec
from pidone.logs.formats.shape import LONG_LINE

LENGTH = 10 * 1024 * 1024
LINE = (b"0123456789 \xf0\x9f\x98\x80 gr\xc3\xbcn\t" * (LENGTH // 23 + 1))[:LENGTH].decode(errors="ignore")
WRITER = """
import os, sys
length = int(sys.argv[1])
line = (b"0123456789 \\xf0\\x9f\\x98\\x80 gr\\xc3\\xbcn\\t" * (length // 23 + 1))[:length]
data = b"before\\n" + line.decode(errors="ignore").encode() + b"\\nafter\\n"
while data:
    data = data[os.write(1, data):]
"""
WHOLE = 64 * 1024 * 1024


def written(name: str, spec: AppSpec, *, slowly: bool) -> bytes:
    """What comes out for the writer's three lines; with `slowly`, stdout is stalled for a while first."""
    read, write = os.pipe()
    with stage(stdout_fd=write, log_format=name) as it:
        it.spawn(spec, [sys.executable, "-c", WRITER, str(LENGTH)])
        if slowly:
            it.turn(lambda: it.relay._output.full)
        reader = Reader(read)
        it.run()
        assert it.close()
        os.close(write)
        out = reader.join()
        os.close(read)
        return out


@pytest.mark.parametrize("slowly", [False, True], ids=["", "stalled"])
@pytest.mark.parametrize("max_line", [16 * 1024, WHOLE])
def test_a_huge_line_as_json(max_line: int, *, slowly: bool) -> None:
    """By default in records of 16 KiB, of which all but the last say that they are partial; or in one."""
    lines = written("json", app(max_line=max_line), slowly=slowly).splitlines()
    assert max(map(len, lines)) < max_line
    records = [record for record in map(json.loads, lines) if "event" not in record]
    assert (records[0]["message"], records[-1]["message"]) == ("before", "after")
    pieces = records[1:-1]
    assert "".join(piece["message"] for piece in pieces) == LINE
    assert [piece.get("partial", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert (len(pieces) == 1) == (max_line == WHOLE)


@pytest.mark.parametrize("slowly", [False, True], ids=["", "stalled"])
@pytest.mark.parametrize("max_line", [16 * 1024, WHOLE])
@pytest.mark.parametrize(("name", "start"), [("raw", b""), ("text", b"12:04:43.697 api.0  | ")])
def test_a_huge_line_as_text(name: str, start: bytes, max_line: int, *, slowly: bool) -> None:
    """What cannot say that it is partial is cut at a mebibyte, or not at all if `max_line` is above that."""
    out = written(name, app(max_line=max_line), slowly=slowly)
    lines = [line for line in out.splitlines() if b"instance.exit" not in line]
    assert all(line.startswith(start) for line in lines)
    before, *pieces, after = (line.removeprefix(start) for line in lines)
    assert (before, after) == (b"before", b"after")
    assert b"".join(pieces).decode() == LINE
    assert [len(piece) <= LONG_LINE for piece in pieces] == (
        [False] if max_line == WHOLE else [True] * len(pieces)
    )


@pytest.mark.parametrize(("date", "start"), [(None, b""), ("[at]", b"at: ")])
def test_a_huge_line_in_a_file_is_one_line(tmp_path: Path, date: str | None, start: bytes) -> None:
    """Whatever the size of records; the file gets what was written."""
    path = tmp_path / "out"
    written("json", app(out_file=str(path), log_date_format=date), slowly=False)
    assert path.read_bytes() == b"".join(
        start + line + b"\n" for line in (b"before", LINE.encode(), b"after")
    )


def test_pieces_of_lines_in_one_file_do_not_mix(tmp_path: Path) -> None:
    """Two streams that write one file have long lines at the same time: each line is cut, none is garbled."""
    path = tmp_path / "all"
    with stage() as it:
        outlet = it.open(app(log_file=str(path)))
        out, err = os.dup(outlet.stdout), os.dup(outlet.stderr)
        outlet.spawned(1)

        def say(fd: int, data: bytes) -> None:
            size = _size(it)
            os.write(fd, data)
            it.turn(lambda: _size(it) > size)

        say(out, b"a" * 20_000)
        say(err, b"b" * 20_000)
        say(out, b"A" * 20_000 + b"\n")
        say(err, b"B" * 20_000 + b"\n")
        os.close(out)
        os.close(err)
        outlet.finish()
    text = path.read_bytes()
    assert text.replace(b"\n", b"") == b"a" * 20_000 + b"b" * 20_000 + b"A" * 20_000 + b"B" * 20_000
    assert all(len(set(line)) == 1 for line in text.splitlines())


def _size(it: Stage) -> int:
    return os.fstat(it.out.fileno()).st_size


def test_invalid_bytes_of_a_long_line_are_in_its_file(tmp_path: Path) -> None:
    r"""A file gets bytes and not text, also where a line comes in pieces, and one with \r\n at its end."""
    path = tmp_path / "out"
    line = b"\xff\xf0\x9f" * 20_000
    with stage() as it:
        outlet = it.open(app(out_file=str(path)))
        it.say(outlet, line[:40_000])
        keep = os.dup(outlet.stdout)
        outlet.spawned(1)
        it.turn(lambda: _size(it))
        os.write(keep, line[40_000:] + b"\r")
        size = _size(it)
        it.turn(lambda: _size(it) > size)
        os.write(keep, b"\nnext\n")
        os.close(keep)
        it.turn(lambda: it.relay.counts()[("default", "api"), "stdout"].lines == 2)
        outlet.finish()
    assert path.read_bytes() == line + b"\nnext\n"


def test_pm2_records_in_a_file_are_whole(tmp_path: Path) -> None:
    """With `log_type = "json"` each piece is a record, and cuts spoil no character."""
    path = tmp_path / "out"
    written("json", app(out_file=str(path), log_type="json"), slowly=False)
    _, *pieces, last = (json.loads(line)["message"] for line in path.read_bytes().splitlines())
    assert ("".join(pieces), last) == (LINE, "after")


def test_pm2_records_of_two_streams_in_one_file_are_lines_of_their_own(tmp_path: Path) -> None:
    """Nothing of a long line is left that would begin a new line for the other stream."""
    path = tmp_path / "all"
    with stage() as it:
        outlet = it.open(app(log_file=str(path), log_type="json"))
        keep = os.dup(outlet.stdout)
        outlet.spawned(1)
        os.write(keep, b"a" * 60_000)
        it.turn(lambda: _size(it))
        os.write(keep, b"\n")
        os.close(keep)
        outlet.finish()
        other = it.open(app(log_file=str(path), log_type="json"))
        it.say(other, b"oops\n", stream="stderr")
        other.spawned(2)
        other.finish()
    records = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert "".join(r["message"] for r in records if r["type"] == "out") == "a" * 60_000
    assert records[-1]["message"] == "oops"
