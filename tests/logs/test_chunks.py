"""However what was written is cut on its way, the same records come out."""

import itertools
import json
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from logs.relaying import NOON, app

from pidone.bounded_search import BoundedSearch
from pidone.logs.encoder import Encoder
from pidone.logs.files.line_format import line_format_of
from pidone.logs.files.logfile import LogFile
from pidone.logs.files.logfiles import FileSet
from pidone.logs.formats.choice import FORMATS
from pidone.logs.formats.shape import RecordIdentity, Shape
from pidone.logs.lines import LineBuffer
from pidone.logs.multiline import joiner
from pidone.logs.pipeline import Counts, LinePipeline, Stages
from pidone.logs.timestamps import Timestamps

ORIGIN = RecordIdentity(app="a", instance=0, pid=1, stream="stdout", fields={})
NOW = "2026-11-19T12:04:43.697Z"


def relayed(parts: Sequence[bytes], max_line: int = 400) -> list[dict[str, object]]:
    """What a stream does, without its pipe."""
    return [json.loads(line) for line in flowed(parts, "json", None, max_line).splitlines()]


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    points = [0, *sorted(point % (len(data) + 1) for point in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(points)]


PIECES = st.sampled_from(
    (
        *(b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xf0\x9f", "😀".encode(), "é".encode(), b'"', b"\\"),
        *(b'{"a":1}', b"\x80" * 30, b"text", b"\xe2\x82", b"\t", b"{", b"}", b"\xed\xa0\x80", b"x" * 90),
        b"\x01" * 50,
    )
)
STREAMS = st.lists(st.one_of(PIECES, st.binary(max_size=40)), max_size=60).map(b"".join)


@settings(max_examples=100, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 5000), max_size=20))
def test_a_stream_cut_anywhere_is_the_same_stream(data: bytes, at: list[int]) -> None:
    """Random bytes, cut at random points, give the records of the uncut stream."""
    assert relayed(cut(data, at)) == relayed([data])


class NoTimer:
    """Nothing waits long enough here."""

    def cancel(self) -> None: ...


def flowed(
    parts: Sequence[bytes],
    name: str,
    multiline: str | None = None,
    max_line: int = 400,
    files: FileSet | None = None,
) -> bytes:
    """What a stream of some format does, without its pipe; also the formats that cut late cut early here."""
    late = FORMATS[name](False).shape(ORIGIN)
    shape = Shape(escape=late.escape, around=late.around, merger=late.merger, verbatim=late.verbatim)
    encoder = Encoder(shape, level="info", max_line=max_line)
    out: list[bytes] = []
    stages = Stages(
        encoder=encoder,
        timestamps=Timestamps(lambda: NOON),
        counts=Counts(),
        put=lambda records, _text, _now: out.append(records),
        verbatim=shape.verbatim,
        joiner=joiner(multiline, encoder.room, BoundedSearch(bool)) if multiline else None,
        files=files,
    )
    pipeline, buffer = LinePipeline(stages, lambda _delay, _callback: NoTimer()), LineBuffer()
    for part in parts:
        if lines := buffer.feed(part):
            pipeline.lines(lines, lines.count(b"\n"))
        if len(buffer.unfinished) > pipeline.room:
            buffer.unfinished = pipeline.unfinished(buffer.unfinished)
    if rest := buffer.flush():
        pipeline.lines(rest, 1)
    pipeline.ended()
    return b"".join(out)


FRAGMENTS = st.lists(
    st.one_of(
        PIECES,
        st.sampled_from(
            (
                *(
                    b"Traceback (most recent call last):\n",
                    b'  File "a.py", line 3, in f\n',
                    b"KeyError: 'x'\n",
                ),
                *(b"Error: boom\n", b"    at f (/app/x.js:1:2)\n", b"\tat com.x.Y.z(Y.java:3)\n"),
                *(b"Caused by: java.lang.Error: x\n", b"WARN x\n", b"2026-11-20 12:00:00 ERROR y\n", b"\n\n"),
                *(b'{"level":"warn","message":"m"}\n', b'{"level":50,"msg":"m"}\n', b"w" * 300, b"  w\r\n"),
            )
        ),
    ),
    max_size=60,
).map(b"".join)


def test_a_held_message_before_the_pieces_of_a_line() -> None:
    """It has its own level, not that of the line that is too long to be waited for."""
    data = b"WARN x\n" + b"w" * 600 + b"\n"
    assert flowed(cut(data, [300]), "json", r"^\S") == flowed([data], "json", r"^\S")


@pytest.mark.parametrize("multiline", [None, "auto", r"^\S"])
@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None)
@given(data=FRAGMENTS, at=st.lists(st.integers(0, 5000), max_size=20))
def test_every_format_is_the_same_however_it_was_cut(
    name: str, multiline: str | None, data: bytes, at: list[int]
) -> None:
    """Texts, traces, JSON and bytes that are none of it; joined or not."""
    joined = None if name == "raw" else multiline
    assert flowed(cut(data, at), name, joined) == flowed([data], name, joined)


class Kept:
    """A log file in memory."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, _writer: object) -> None:
        self.data += data


@settings(max_examples=60, deadline=None)
@given(FRAGMENTS, st.lists(st.integers(0, 5000), max_size=20))
def test_a_file_gets_the_bytes_however_they_were_cut(data: bytes, at: list[int]) -> None:
    """Valid or not, in lines of any length, with a date before each; only line ends are all the same."""
    text = data.replace(b"\r\n", b"\n")
    lines = text.removesuffix(b"\n").split(b"\n") if text else []
    for pattern, date in ((None, b""), ("[at]", b"at: ")):
        kept = Kept()
        line_format = line_format_of(app(log_date_format=pattern), ORIGIN, lambda: NOON)
        flowed(cut(data, at), "json", files=FileSet((cast("LogFile", kept),), line_format))
        assert kept.data == b"".join(date + line + b"\n" for line in lines)


JSON_LINES = st.lists(
    st.sampled_from(
        (
            *('{"msg":"one","n":1}', '{"msg":"two","n":2}', '{"n":3,"msg":"three"}', '{"msg":"four","n":4} '),
            *('{"level":"warn","msg":"five"}', '{"level":"error","msg":"six"}', '{"level":50,"msg":"seven"}'),
            *('{"level":null,"msg":"eight"}', '{"severity":"ERROR","msg":"nine"}', '{"app":"a","msg":"ten"}'),
            *('{"app":"b","msg":"eleven"}', "{}", '{"msg":"torn', "text"),
            *('{"timestamp":"1970","msg":"twelve"}', '{"msg":"one","n":1,"n":2}'),
            *('{"msg":"%s","n":1}' % ("x" * 300), "{1:2}", '[{"msg":"one"}]'),
            *(
                '{"level":30,"pid":1,"msg":"a"}',
                '{"level":50,"pid":1,"msg":"b"}',
                '{"level":3,"level":4,"x":0}',
            ),
            *('{"pid":true,"x":0}', '{"pid":2,"pid":1,"x":0}', '{"\\u0070id":1,"pid":1,"x":0}', '{"pid":1}'),
            *('{"severity":"WARN","x":0}', '{"severity":7,"x":0}', ' {"x":0}', '{"x":0} ', '{"level":30}'),
        )
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(JSON_LINES, st.integers(1, 4))
def test_lines_of_a_kind_at_once_are_what_they_are_one_by_one(lines: list[str], times: int) -> None:
    """Objects with the same fields are merged together; nobody can tell."""
    written = [line.encode() + b"\n" for line in lines for _ in range(times)]
    encoder = Encoder(FORMATS["json"](False).shape(ORIGIN), level="info", max_line=400)
    together = encoder.encode(b"".join(written), NOW) if written else b""
    assert together == b"".join(encoder.encode(line, NOW) for line in written)


@pytest.mark.parametrize(
    "lines",
    [
        ['{"a":1', "2}"],
        ['{"a":"x', 'y"}'],
        ['{"a":[{"b":1}', '{"c":2}]}'],
        ['{"a":[{"b":1}', '{"c":2}]}', '{"d":3},{"e":4}'],
        ['{"d":3},{"e":4}', '{"a":[[{"b":1}', '{"c":2}]]}'],
        ['{"a":1}', '{"a":2},3'],
        ['{"a":1},3', '{"a":2}'],
        ['{"a":1},3,{"a":2}', '{"a":2}'],
        ['{"a":1},{"a":2}'],
        ['{"a":1}],[{"a":2}', '{"a":3}'],
        ['{"a":1}', "", '{"a":2}'],
        ['{"a":1}', '{"a":2}', ""],
        ['{"a":1}', ',{"a":2}'],
        ['{"a":1},', '{"a":2}'],
        ['{"a":1}', '{"a":2}\t', '{"a":3}\f'],
        ['{"a":1}', '\t{"a":2}'],
        ['{"a":1}', '["a"]'],
        ["{}", "{}"],
    ],
)
def test_what_is_an_object_only_together_with_other_lines_is_text(lines: list[str]) -> None:
    """They are parsed as one array, and no line becomes a part of another's value, or two of them."""
    written = [line.encode() + b"\n" for line in lines]
    for each in (written, [*written, *written], [b'{"a":0}\n', *written, b'{"a":9}\n']):
        encoder = Encoder(FORMATS["json"](False).shape(ORIGIN), level="info", max_line=400)
        together = encoder.encode(b"".join(each), NOW)
        assert together == b"".join(encoder.encode(line, NOW) for line in each)
        for record in together.splitlines():
            assert json.loads(record)["app"] == "a"


@settings(max_examples=60, deadline=None)
@given(STREAMS)
@example(b'{"a":1}\t\n')
def test_the_messages_are_the_text(data: bytes) -> None:
    """Partial records put together again give the decoded lines, byte for byte."""
    lines, line = [], ""
    for record in relayed([data]):
        if "message" in record:
            line += str(record["message"])
        else:
            line += json.dumps({"a": record["a"]}, separators=(",", ":"))
        if "partial" not in record:
            lines.append(line)
            line = ""
    text = data.replace(b"\r\n", b"\n")
    whole = text if text.endswith(b"\n") or not text else text + b"\n"
    expected = [
        '{"a":1}'
        if line.startswith("{") and line.rstrip(" \t\r") == '{"a":1}'
        else line  # JSON may have blanks
        for line in whole.decode(errors="replace").split("\n")[:-1]
    ]
    assert lines == expected


def test_a_four_byte_character_at_every_offset_of_an_edge() -> None:
    """A character may be cut between any two of its bytes."""
    data = ("a" * 7 + "😀" + "b" * 7 + "\n").encode()
    for at in range(len(data)):
        assert relayed([data[:at], data[at:]]) == relayed([data])
    long = ("😀" * 500 + "\n").encode()
    for at in range(240, 420):
        assert relayed([long[:at], long[at:]]) == relayed([long])


def test_ten_megabytes_without_a_line_end() -> None:
    """A huge line is passed on in pieces and takes no memory of its size."""
    data = b"0123456789abcdef" * (10 * 1024 * 1024 // 16)
    parts = [data[i : i + 65536] for i in range(0, len(data), 65536)]
    found = relayed([*parts, b"\nnext\n"], max_line=16384)
    assert "".join(str(r["message"]) for r in found[:-1]).encode() == data
    assert found[-1]["message"] == "next"
    assert all(r.get("partial") for r in found[:-2])
