"""The names of the runtime's own events are a promise: those in the code are those in the table."""

import ast
import json
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from logs.relaying import NOON_TEXT, stage

import pidone
from pidone.logs.events import EVENTS, check
from pidone.logs.relay import OURS

ROOT = Path(pidone.__file__).parent


def events_in_code() -> Iterator[tuple[str, set[str]]]:
    """The events that are emitted, with the fields that stand beside them."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in (
                "event",
                "_fail",
                "_log",
                "log",
                "_once",
                "_tell",
            ):
                for name in filter(EVENT.fullmatch, _strings(node.args[:3])):
                    yield name, {word.arg for word in node.keywords if word.arg} - {"key"}
            for value in _called_event(node):  # what a policy wishes to have told
                yield from ((name, set()) for name in filter(EVENT.fullmatch, _strings([value])))


EVENT = re.compile(r"[a-z]+\.[a-z_]+")


def _called_event(node: ast.AST) -> Iterator[ast.AST]:
    """What is given to something that is called `event`."""
    if isinstance(node, ast.keyword) and node.arg == "event":
        yield node.value
    elif isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == "event" for target in targets):
            yield node.value


def _strings(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def test_the_table_has_the_events_of_the_code() -> None:
    """One that the table does not know is a mistake in a name; one that the code does not know is gone."""
    found = {name for name, _ in events_in_code()}
    elsewhere = {"runtime.warning"}  # chosen by the level of what a library logged
    assert found | elsewhere == EVENTS.keys()


def test_the_table_has_the_fields_of_the_code() -> None:
    """Nothing is told that nobody documented, and nothing is documented that is never told."""
    told: dict[str, set[str]] = {}
    for name, fields in events_in_code():
        told.setdefault(name, set()).update(fields)
    for name, fields in told.items():
        assert fields <= {*EVENTS[name].fields}, name
        given = {"app", "namespace", "instance", *LABELLED.get(name, ())}
        assert {*EVENTS[name].fields} <= fields | given, name


LABELLED = {
    "runtime.error": ("logger", "exc_info", "state"),
    "runtime.warning": ("logger",),
    "config.reload": ("added", "removed", "changed", "scaled"),
    "instance.memory": ("rss_bytes", "limit_bytes"),
    "instance.memory_soft": ("rss_bytes",),
    "instance.memory_softened": ("before_bytes", "after_bytes"),
    "preload.ready": ("pid", "after_s", "modules"),
    "preload.shared": ("pid",),
    "preload.refused": ("pid", "after_s"),
    "hook.done": ("hook",),
    "hook.failed": ("hook",),
}
"""Fields that are put together before the event is emitted."""


def test_the_documentation_lists_every_event_with_its_fields() -> None:
    """docs/logging.md has a row for each event."""
    text = (ROOT.parent.parent / "docs" / "logging.md").read_text()
    for name, event in EVENTS.items():
        fields = ", ".join(f"`{field}`" for field in event.fields)
        assert f"| `{name}` | {event.meaning} | {fields} |" in text


def test_an_unknown_event_is_refused_under_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """With PIDONE_STRICT a wrong name or field raises; without it nothing breaks in production."""
    monkeypatch.setenv("PIDONE_STRICT", "1")
    with pytest.raises(ValueError, match="no such event"):
        check("instance.exploded", "info", ())
    with pytest.raises(ValueError, match="no such fields: \\['colour'\\]"):
        check("instance.kill", "info", ("app", "namespace", "colour"))
    monkeypatch.delenv("PIDONE_STRICT")
    check("instance.exploded", "info", ("colour",))


def test_events_below_the_level_are_quiet() -> None:
    """`log_level` decides which of the runtime's own events are seen."""
    with stage(log_level="warning") as it:
        it.relay.event("info", "instance.online")
        it.relay.event("warning", "instance.kill")
        assert [r["event"] for r in it.records()] == ["instance.kill"]
    with stage(log_level="quiet") as it:
        it.relay.event("error", "runtime.error")
        assert it.records() == []


def test_fields_without_a_value_are_left_out() -> None:
    """An exit by code has no signal field."""
    with stage() as it:
        it.relay.event("error", "instance.exit", "gone", app="api", code=3, signal=None)
        assert it.text().startswith(b'{"timestamp":"%s","level":"error","event":' % NOON_TEXT.encode())
        assert it.records() == [
            {
                "timestamp": NOON_TEXT,
                "level": "error",
                "event": "instance.exit",
                "message": "gone",
                "app": "api",
                "code": 3,
            }
        ]


def test_what_a_library_logs_is_a_record_with_its_stack_trace() -> None:
    """asyncio's complaints do not end up on stderr as text."""
    with stage() as it:
        try:
            {"found": 1}["lost"]
        except KeyError:
            logging.getLogger("asyncio").exception("a task %s", "failed")
        (record,) = it.records()
    assert (record["event"], record["message"], record["logger"]) == (
        "runtime.error",
        "a task failed",
        "asyncio",
    )
    assert "KeyError: 'lost'" in record["exc_info"]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("gcp", {"time": NOON_TEXT, "severity": "WARNING", "event": "instance.kill"}),
        ("ecs", {"@timestamp": NOON_TEXT, "log.level": "warning", "event.action": "instance.kill"}),
        ("pm2", {"timestamp": NOON_TEXT, "event": "instance.kill", "app_name": "api"}),
    ],
)
def test_own_events_follow_the_format(name: str, keys: dict[str, object]) -> None:
    """Formats that are JSON stay JSON for the runtime's own records."""
    with stage(log_format=name) as it:
        it.relay.event("warning", "instance.kill", "too late", app="api")
        (line,) = it.text().splitlines()
        assert keys.items() <= json.loads(line).items()


def test_own_events_as_text_and_logfmt() -> None:
    """Values are quoted where they need it."""
    with stage(log_format="logfmt") as it:
        it.relay.event("info", "instance.exit", "it ended", app="a b", code=0)
        assert it.text() == (
            f'ts={NOON_TEXT} level=info event=instance.exit msg="it ended" app="a b" code=0\n'.encode()
        )
    with stage(log_format="text") as it:
        it.relay.event("info", "instance.exit", "it ended", app="api", code=0)
        assert it.text() == b"12:04:43.697 pidone | instance.exit api: it ended code=0\n"


@pytest.mark.parametrize("log_format", ["json", "ecs", "gcp"])
def test_events_have_the_fields_of_the_whole(log_format: str) -> None:
    """What says where the process runs stands in every record; an event's own fields are not touched."""
    with stage(log_format=log_format, log_fields={"pod": "p1", "delay_s": "mine"}) as it:
        it.relay.event("info", "runtime.stop", delay_s=5)
        (record,) = it.records()
        assert (record["pod"], record["delay_s"]) == ("p1", 5)


def test_events_for_people_have_no_fields_of_the_whole() -> None:
    """As little as the lines of apps have them in the text format."""
    with stage(log_format="text", log_fields={"pod": "p1"}) as it:
        it.relay.event("info", "runtime.stop", "received SIGTERM")
        said = it.text()
        assert b"received SIGTERM" in said
        assert b"p1" not in said


def test_records_begin_like_those_of_apps() -> None:
    """Time and level first, then what happened: as the documentation shows them."""
    with stage() as it:
        it.relay.event("info", "instance.online", "online after 1 s", app="api", instance=0)
        [record] = it.records()
        assert list(record) == ["timestamp", "level", "event", "message", "app", "instance"]


def test_what_libraries_log_stands_among_our_own_events_in_their_order() -> None:
    """Ours are put out at the end of the turn, and before anything that is logged after them."""
    with stage() as made:
        made.relay.event("info", "runtime.start", "first")
        logging.getLogger("asyncio").warning("second")
        made.relay.event("info", "runtime.stop", "third")
        kept = [json.loads(line)["message"] for line in made.relay.last(OURS).splitlines()]
        assert kept == ["first", "second", "third"]
        assert [record["message"] for record in made.records()] == kept
