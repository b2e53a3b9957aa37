"""`/api/history`: the last hour, in as many points as the reader can draw."""

from collections.abc import Sequence
from typing import Any, Final

from pidone.control.history.marks import Mark
from pidone.control.history.recorder import CONTAINER, InstanceKey, Recorder
from pidone.control.history.series import SLOTS, STEP
from pidone.control.http.messages import Answer, Refusal, Request, as_json
from pidone.control.http.router import Access, Route
from pidone.control.operations import Operations
from pidone.supervise.ledger import AppKey

_POINTS: Final = 120
_COLUMNS: Final = ("memory_bytes", "cpu_percent", "throttled_percent", "cpu", "memory", "io")
_PERCENT: Final = 100.0


class HistoryView:
    """Answers out of memory."""

    def __init__(self, recorder: Recorder, operations: Operations) -> None:
        """`recorder` has it; `operations` knows what a target is."""
        self._recorder = recorder
        self._operations = operations

    def routes(self) -> list[Route]:
        """The one path."""
        told = "The last hour: CPU, memory, the container, and what happened."
        return [
            Route("GET", "/api/history", Access.READ, self.show, told, "History", query=("app", "points"))
        ]

    def show(self, request: Request) -> Answer:
        """All apps, each as one; with `app`, that app with its instances."""
        size = _bucket(request.query.get("points", ""))
        rings = self._recorder.instances
        chosen = self._app(request.query.get("app", ""))
        keys: dict[AppKey, list[InstanceKey]] = {}
        for each in sorted(rings):
            if chosen is None or each[0] == chosen:
                keys.setdefault(each[0], []).append(each)
        step = STEP * size
        ended = self._recorder.ended
        marks = self._recorder.marks.since(ended - STEP * SLOTS, chosen)
        return as_json(
            {
                "step_s": step,
                "until": round(ended, 3),
                "apps": [self._of(key, mine, size, single=chosen is not None) for key, mine in keys.items()],
                "container": self._container(size),
                "marks": [_mark(mark) for mark in marks],
                "omitted": rings.omitted,
            }
        )

    def _app(self, name: str) -> AppKey | None:
        """An app that is there, or one whose hour has not passed yet."""
        if name in ("", "all"):
            return None
        remembered = {key for key, _ in self._recorder.instances if name in (key[1], "/".join(key))}
        apps = remembered or {target.app.spec.key() for target in self._operations.targets(name)}
        if len(apps) > 1:
            raise Refusal(400, f"{name!r} is more than one app")
        return apps.pop()

    def _of(self, key: AppKey, mine: Sequence[InstanceKey], size: int, *, single: bool) -> dict[str, Any]:
        lines = [(index, *self._lines((app, index), size)) for app, index in mine]
        namespace, name = key
        shown: dict[str, Any] = {"name": name, "namespace": namespace}
        columns = zip(*(cpu for _, cpu, _ in lines), strict=True)
        shown["cpu_percent"] = [_percent(values) for values in columns]
        columns = zip(*(sizes for _, _, sizes in lines), strict=True)
        shown["memory_bytes"] = [_bytes(values) for values in columns]
        _hide_gaps(shown)
        if single:
            shown["instances"] = [
                _hide_gaps(
                    {
                        "index": index,
                        "cpu_percent": [_percent((value,)) for value in cpu],
                        "memory_bytes": [_bytes((value,)) for value in sizes],
                    }
                )
                for index, cpu, sizes in lines
            ]
        return shown

    def _lines(self, key: InstanceKey, size: int) -> tuple[list[float], list[float]]:
        rings = self._recorder.instances
        return rings.means(key, 0, size), rings.greatest(key, 1, size)

    def _container(self, size: int) -> dict[str, Any]:
        rings = self._recorder.container
        found: dict[str, Any] = {}
        for column, name in enumerate(_COLUMNS):
            factor = _PERCENT if name == "cpu_percent" else 1.0
            buckets = rings.greatest(CONTAINER, column, size) if len(rings) else []
            found[name] = [None if most < 0 else round(most * factor, 1) for most in buckets]
        return {name: found.pop(name) for name in _COLUMNS[:3]} | {"pressure": found}


def _bucket(points: str) -> int:
    """How many slots a point stands for. Raises Refusal."""
    count = int(points) if points.isascii() and points.isdigit() and len(points) < 6 else 0
    if points and not count:
        raise Refusal(400, f"points: expected a number from 1 on, not {points[:20]!r}")
    return -(-SLOTS // min(count or _POINTS, SLOTS))


def _percent(cpus: Sequence[float]) -> float:
    return round(sum(cpus) * _PERCENT, 1)


def _bytes(sizes: Sequence[float]) -> int:
    return int(sum(sizes))


def _hide_gaps(shown: dict[str, Any]) -> dict[str, Any]:
    """Where no process was there is nothing, and not zero."""
    shown["cpu_percent"] = [
        cpu if size else None for cpu, size in zip(shown["cpu_percent"], shown["memory_bytes"], strict=True)
    ]
    shown["memory_bytes"] = [size or None for size in shown["memory_bytes"]]
    return shown


def _mark(mark: Mark) -> dict[str, Any]:
    namespace, name = mark.app or (None, None)
    return {
        "at": round(mark.at, 3),
        "kind": mark.kind,
        "app": name,
        "namespace": namespace,
        "instance": mark.instance,
        "text": mark.text,
        "count": mark.count,
    }
