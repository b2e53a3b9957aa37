"""The rows of the table: problems first or by a column, filtered, apps folded or with their instances."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pidone.cli.operate import table
from pidone.cli.operate.monit.state import Screen, Snapshot
from pidone.cli.operate.patterns import target_of
from pidone.record import Record
from pidone.supervise.instances.states import SEEN

_SEVERITY: Final = {str(state): number for number, state in enumerate(SEEN)}
_TROUBLED: Final = 50
"""Ready, and yet something is to be said."""
_HEALTHY: Final = 100
COLUMNS: Final = ("name", "state", "restarts", "uptime", "cpu", "memory", "next run", "why")


class Row(Record):
    """An app, or one of its instances."""

    key: str
    app: Mapping[str, Any]
    instance: Mapping[str, Any] | None
    """None for the line of an app with several."""

    @property
    def instances(self) -> list[Mapping[str, Any]]:
        """What the figures of the row are of."""
        return list(self.app["instances"]) if self.instance is None else [self.instance]

    @property
    def state(self) -> str:
        """Of the instance that is worst off."""
        return str(self.app["state"] if self.instance is None else self.instance["state"])

    def total(self, field: str) -> float | None:
        """The sum over the instances; None if nothing is known."""
        values = [each[field] for each in self.instances if each[field] is not None]
        return sum(values) if values else None

    @property
    def is_part(self) -> bool:
        """Whether it stands below the line of its app."""
        return self.instance is not None and self.app["scale"] > 1


def of_app(key: str) -> str:
    """The app that a row belongs to."""
    return key.partition(":")[0]


def all_rows(state: Screen) -> list[Row]:
    """Every row that is to be seen, in order."""
    apps = [app for app in state.shot.apps if _matches(app, state.filter.lower())]
    key = _KEYS[state.sort]
    apps.sort(key=lambda app: (key(Row("", app, None)), app["name"]), reverse=state.descending)
    return [row for app in apps for row in _rows(app, state)]


def chosen(state: Screen) -> Row | None:
    """The row under the cursor, the first if it is gone."""
    rows = all_rows(state)
    return next((row for row in rows if row.key == state.cursor), rows[0] if rows else None)


def position(state: Screen) -> int:
    """The number of the row under the cursor."""
    keys = [row.key for row in all_rows(state)]
    return keys.index(state.cursor) if state.cursor in keys else 0


def problem(app: Mapping[str, Any]) -> int:
    """How badly somebody should look at it: the smaller the worse."""
    if not app["ready"] and is_wanted(app):
        return _SEVERITY.get(app["state"], len(SEEN))
    if app["wanted"] and app["why"]:
        return _TROUBLED
    return _HEALTHY if app["wanted"] or app["state"] == "completed" else _HEALTHY - 1


def why(row: Row) -> str:
    """Why it is not well, and when it is tried again; else what it says of itself."""
    if row.instance is not None:
        return table.why(row.instance)
    texts = dict.fromkeys(each["status_text"] for each in row.instances if each["status_text"])
    return table.why(row.app) or "; ".join(texts)


def is_wanted(app: Mapping[str, Any]) -> bool:
    """Whether it shall run, be it that it waits for something first."""
    return bool(app["wanted"] or app["wish"]["run"] == "waiting")


def needy(shot: Snapshot) -> list[Row]:
    """The apps of which something is to be said: those that are not ready, then others, the worst first."""
    apps = [app for app in shot.apps if is_wanted(app) and (not app["ready"] or app["why"])]
    return [Row(target_of(app), app, None) for app in sorted(apps, key=problem)]


def _rows(app: Mapping[str, Any], state: Screen) -> Iterator[Row]:
    key = target_of(app)
    if app["scale"] == 1 and len(app["instances"]) == 1:
        yield Row(key, app, app["instances"][0])
        return
    yield Row(key, app, None)
    if key not in state.folded:
        instances = app["instances"]
        if not state.sort:  # problems first
            instances = sorted(instances, key=lambda each: (each["ready"], not each["why"]))
        for instance in instances:
            yield Row(f"{key}:{instance['index']}", app, instance)


def _matches(app: Mapping[str, Any], wanted: str) -> bool:
    if not wanted:
        return True
    words = [target_of(app), app["state"], *(str(each["why"]) for each in app["instances"])]
    return any(wanted in word.lower() for word in words)


_KEYS: Final[Mapping[str, Callable[[Row], Any]]] = {
    "": lambda row: problem(row.app),
    "name": lambda row: row.app["name"],
    "state": lambda row: _SEVERITY.get(row.state, len(SEEN)),
    "restarts": lambda row: row.app["restarts"],
    "uptime": lambda row: min((each["uptime_s"] or 0.0 for each in row.instances), default=0.0),
    "cpu": lambda row: row.total("cpu_percent") or 0.0,
    "memory": lambda row: row.total("memory_bytes") or 0.0,
    "next run": lambda row: row.app["next_run"] or "~",
    "why": lambda row: why(row) or "~",
}
