"""Records stay records: what is kept in memory, and what followers get, is JSON whatever stdout shows."""

import json

import pytest
from logs.relaying import NOON_TEXT, Stage, app, stage

from pidone.ecosystem.spec import AppSpec
from pidone.logs.formats.choice import FORMATS
from pidone.logs.formats.text import Console

KEY = ("default", "api")
SAID = b'plain \x1b[31mred\x1b[0m\nERROR: bad\n{"level":"warn","msg":"json","n":1}\n\xff\n'


def say(it: Stage, text: bytes, spec: AppSpec | None = None) -> None:
    outlet = it.open(spec or app(), 1)
    it.say(outlet, text)
    outlet.spawned(7)
    outlet.finish()


def kept(it: Stage) -> list[dict[str, object]]:
    return [json.loads(line) for line in it.relay.last(KEY).splitlines()]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_kept_is_the_same_in_every_format(name: str) -> None:
    """Message, level, fields, and the codes of colours that the app wrote."""
    with stage(log_format="json") as it:
        say(it, SAID)
        expected = kept(it)
    with stage(log_format=name) as it:
        say(it, SAID)
        assert kept(it) == expected
    assert [record.get("message") for record in expected] == [
        "plain \x1b[31mred\x1b[0m",
        "ERROR: bad",
        None,
        "�",
    ]
    assert [record["level"] for record in expected] == ["info", "error", "warn", "info"]
    assert expected[2]["msg"] == "json"


@pytest.mark.parametrize("name", FORMATS)
def test_followers_get_records_and_the_runtimes_events(name: str) -> None:
    """One follower of all, one of the app; both while stdout has another format."""
    with stage(log_format=name) as it:
        everything = it.relay.follow(lambda: None)
        of_app = it.relay.follow(lambda: None, KEY)
        it.relay.event("warning", "instance.kill", "too late", app="api")
        say(it, b"one\n")
        it.turn(lambda: True)
        told = [json.loads(line) for line in everything.take().splitlines()]
        assert [(r["level"], r["message"]) for r in told] == [("warning", "too late"), ("info", "one")]
        assert told[0]["event"] == "instance.kill"
        assert [json.loads(line)["message"] for line in of_app.take().splitlines()] == ["one"]
        assert [json.loads(line)["timestamp"] for line in it.relay.last().splitlines()] == [NOON_TEXT] * 2


@pytest.mark.parametrize("name", ["json", "raw", "text"])
@pytest.mark.parametrize("line", [b"x\n", b"x" * 2000 + b"\n", b"x" * 3_000_000 + b"\n"])
def test_what_is_kept_stays_small(name: str, line: bytes) -> None:
    """Short lines, long ones, and one that never ends."""
    with stage(log_format=name, log_level="quiet") as it:
        for _ in range(20):
            say(it, line * max(60_000 // len(line), 1) if len(line) < 60_000 else line[:200_000])
        assert 1000 < len(it.relay.last(KEY)) < 64 * 1024
        assert {record["app"] for record in kept(it)} == {"api"}


def test_a_joined_message_is_one_record() -> None:
    """Whose line ends are in its message."""
    with stage(log_format="text") as it:
        say(it, b"Traceback (most recent call last):\n  File x\nKeyError\n", app(multiline="python"))
        (record,) = kept(it)
        assert str(record["message"]).count("\n") == 2


def test_an_app_cannot_imitate_our_events() -> None:
    """A field `event` is its message if it has no other (structlog), or one of its own under another name."""
    with stage() as it:
        forged = {"event": "instance.exit", "message": "ended", "code": 3}
        both = [{"event": "asked", "level": "info"}, {"event": "told", "level": "info", "x": 1}]
        odd = [{"event": {"a": 1}}, {"event": "e", "app_event": 1, "message": "m"}, {"\\u0065vent": "x"}]
        lines = [json.dumps(line) for line in (forged, *both, *odd[:2])] + ['{"\\u0065vent":"x"}']
        say(it, "".join(f"{line}\n" for line in lines).encode())
        say(it, b'{"event":"one","level":"info"}\n{"event":"two","level":"info"}\n')
        found = it.records()
    assert not [record for record in found if "event" in record]
    assert [record.get("message") for record in found] == [
        *("ended", "asked", "told", None, "m", "x"),
        *("one", "two"),
    ]
    assert (found[0]["app_event"], found[3]["app_event"]) == ("instance.exit", {"a": 1})
    assert (found[4]["app_event"], found[4]["app_app_event"]) == (1, "e")


def test_the_console_shows_objects_in_words() -> None:
    """Message first, then fields; the level is a colour, the time stands before."""
    with stage(log_format="text") as it:
        say(it, b'{"level":50,"time":1,"msg":"no db","pid":9,"err":{"code":"E"},"ok":null,"q":"a b"}\n')
        assert it.text() == b'12:04:43.697 api.1  | no db pid=9 err={"code":"E"} ok=null q="a b"\n'


def test_the_console_has_a_colour_for_each_and_red_for_what_is_bad() -> None:
    """Names are aligned; an event tells each fact once."""
    console = Console(colour=True)
    base = {"timestamp": NOON_TEXT, "level": "info", "stream": "stdout", "instance": 0, "message": "m"}
    names = [console.record({**base, "app": name}).split()[1] for name in ("a", "b", "long-name", "a")]
    assert len(set(names)) == 3
    ended = {"timestamp": NOON_TEXT, "level": "error", "event": "instance.exit", "app": "a", "instance": 0}
    shown = console.record({**ended, "message": "ended with code 3 after 4.1 s", "code": 3, "uptime_s": 4.1})
    assert shown.endswith(" \x1b[31minstance.exit a.0: ended with code 3 after 4.1 s\x1b[0m")
    plain = Console(colour=False)
    plain.record({**base, "app": "long-name"})
    assert plain.record({**base, "app": "b"}) == "12:04:43.697 b.0         | m"
    assert "\x1b" not in plain.record({**base, "app": "\x1b[2J"})


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            '{"level":30,"time":1,"pid":1,"hostname":"h","msg":"pino","route":"/a"}',
            "12:04:43.697 api.1  | pino route=/a",
        ),
        (
            '{"level":"warn","message":"winston","timestamp":"2026-01-01T00:00:01Z"}',
            "00:00:01.000 api.1  \x1b[33m|\x1b[0m winston",
        ),
        (
            '{"name":"x","hostname":"h","pid":1,"level":50,"msg":"bunyan","v":0}',
            "12:04:43.697 api.1  \x1b[31m|\x1b[0m bunyan name=x",
        ),
        (
            '{"event":"structlog","level":"error","timestamp":"2026-01-01T00:00:02.5Z","user":"ann"}',
            "00:00:02.500 api.1  \x1b[31m|\x1b[0m structlog user=ann",
        ),
        (
            '{"@timestamp":"2026-01-01T00:00:00Z","@version":"1","message":"logback","level":"DEBUG","t":"m"}',
            "12:04:43.697 api.1  \x1b[90m|\x1b[0m logback t=m",
        ),
    ],
    ids=["pino", "winston", "bunyan", "structlog", "logback"],
)
def test_what_loggers_write_is_shown_in_words(line: str, shown: str) -> None:
    """Message, then fields; aligned, with the logger's level and without what is the same in each line."""
    with stage() as it:
        say(it, line.encode() + b"\n")
        (record,) = kept(it)
    text = Console(colour=True).record(record)
    assert text.replace("\x1b[36mapi.1\x1b[0m", "api.1") == shown


def test_on_a_narrow_terminal_names_leave_room() -> None:
    """A quarter of it at most, with the end that tells which instance it is."""
    record = {"timestamp": NOON_TEXT, "level": "info", "stream": "stdout", "app": "a-long-name-of-a-service"}
    line = Console(colour=False, width=40).record({**record, "instance": 12, "message": "m"})
    assert line == "12:04:43.697 a-lon…e.12 | m"
    red = {**record, "instance": 12, "message": "\x1b[31;1mred\x1b[0m m"}
    assert Console(colour=False, width=40).record(red) == "12:04:43.697 a-lon…e.12 | red m"
    wide = Console(colour=False, width=40).record({**record, "app": "日本語サービス", "message": "m"})
    assert wide == "12:04:43.697 日本…ス.0 | m"
