"""The last hour: bounded, put together, and not lost by what happens to apps."""

import random
import time
import tracemalloc
from types import SimpleNamespace
from typing import Any, cast

import pytest
from control.operated import Operated, operated

from pidone.control.history.marks import MOST as MOST_MARKS
from pidone.control.history.marks import Marks
from pidone.control.history.recorder import Recorder
from pidone.control.history.series import MOST, SLOTS, STEP, Rings
from pidone.control.history.view import HistoryView
from pidone.control.http.messages import Refusal, Request
from pidone.host.processes import ProcessUsage, TreeUsage
from pidone.host.usage import UsageBook
from pidone.supervise.ledger import Happening


def happening(
    event: str, at: float, app: str | None = "api", level: str = "info", **details: Any
) -> Happening:
    """One event."""
    return Happening(at, level, event, f"{event} happened", {"app": app, **details} if app else details)


def mebibytes(shown: Any) -> list[int | None]:
    """The memory of an app or instance."""
    return [size and size >> 20 for size in shown["memory_bytes"]]


# -- rings -----------------------------------------------------------------------------------------------


def test_an_hour_of_all_it_may_remember_is_less_than_a_mebibyte() -> None:
    """Twice as many instances as fit, with a storm of events."""
    chance = random.Random(7)
    tracemalloc.start()
    rings: Rings[tuple[tuple[str, str], int]] = Rings(2)
    marks = Marks()
    for slot in range(20):  # rings have their whole length from the first on
        rings.close_slot({(("default", f"app-{n}"), 0): (chance.random(), 1e8) for n in range(2 * MOST)})
        for n in range(30):
            marks.hear(happening("app.reload", slot * 10.0, f"app-{slot}-{n}"))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 1 << 20
    assert (len(rings), rings.omitted) == (MOST, MOST)
    assert len(marks.since(0, None)) == MOST_MARKS


def test_fifty_instances_need_a_fifth_of_it() -> None:
    """What most containers have."""
    tracemalloc.start()
    rings: Rings[int] = Rings(2)
    for _ in range(SLOTS):
        rings.close_slot(dict.fromkeys(range(50), (0.5, 100000000.0)))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 200_000


def test_points_are_the_mean_and_the_greatest_of_their_slots() -> None:
    """The oldest comes first, and what was before the beginning is left out."""
    rings: Rings[str] = Rings(1, slots=6)
    for value in (1.0, 3.0, 5.0, 9.0):
        rings.close_slot({"a": (value,)})
    assert (rings.means("a", 0, 2), rings.greatest("a", 0, 2)) == ([2.0, 7.0], [3.0, 9.0])
    assert (rings.means("a", 0, 3), rings.greatest("a", 0, 3)) == ([17.0 / 3], [9.0])
    assert (rings.means("a", 0, 5), rings.greatest("a", 0, 5)) == ([], [])
    for value in (2.0, 4.0, 6.0):
        rings.close_slot({"a": (value,)})
    assert rings.means("a", 0, 1) == rings.greatest("a", 0, 1) == [3.0, 5.0, 9.0, 2.0, 4.0, 6.0]


def test_who_is_gone_is_remembered_for_the_hour_or_until_its_room_is_needed() -> None:
    """A slot that nobody looked at is empty, and newcomers take the room of who has been silent longest."""
    rings: Rings[str] = Rings(1, slots=4, most=2)
    rings.close_slot({"a": (1.0,)})
    rings.close_slot({"b": (2.0,)}, missed=1)
    assert rings.greatest("a", 0, 1) == [1.0, 0.0, 0.0]
    assert rings.greatest("b", 0, 1) == [0.0, 0.0, 2.0]
    rings.close_slot({"b": (3.0,), "c": (4.0,)})
    assert list(rings) == ["b", "c"]
    rings.close_slot({"b": (3.0,), "c": (4.0,), "d": (4.0,)})
    assert (list(rings), rings.omitted) == (["b", "c"], 1)
    for _ in range(4):
        rings.close_slot({})
    assert list(rings) == []


# -- marks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "level", "details", "kind"),
    [
        ("instance.start", "info", {"reason": "exit", "instance": 1}, "restart"),
        ("instance.start", "info", {"reason": None}, None),
        ("instance.start", "info", {"reason": "reload"}, None),
        ("instance.start", "info", {"reason": "schedule"}, None),
        ("instance.exit", "error", {"reason": "exit"}, "exit"),
        ("instance.exit", "info", {"reason": "stop"}, None),
        ("app.reload", "info", {"reason": "reload"}, "reload"),
        ("app.reload", "info", {"reason": "config"}, "deployment"),
        ("app.reload_failed", "error", {}, "failed"),
        ("instance.memory", "warning", {}, "limit"),
        ("instance.errored", "error", {}, "gave_up"),
        ("instance.online", "info", {}, None),
    ],
)
def test_what_is_worth_a_mark(event: str, level: str, details: dict[str, Any], kind: str | None) -> None:
    """Restarts, reloads, deployments, limits and failures; not what belongs to every start."""
    marks = Marks()
    marks.hear(happening(event, 5.0, level=level, **details))
    assert [mark.kind for mark in marks.since(0, None)] == ([kind] if kind else [])


def test_a_crash_loop_is_a_mark_a_minute() -> None:
    """It counts, so that what happens to others is not pushed out."""
    marks = Marks()
    marks.hear(happening("app.reload", 0.0, "other"))
    for second in range(600):
        marks.hear(happening("instance.exit", float(second), level="error"))
    assert [mark.count for mark in marks.since(0, ("default", "api"))] == [60] * 10
    assert [mark.kind for mark in marks.since(0, ("default", "other"))] == ["reload"]


# -- from samples to an answer -----------------------------------------------------------------------------


class World:
    """A runtime on a hand-turned clock: apps, what they use, and a recorder."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Any]] = []
        self.sizes: dict[int, tuple[int, float]] = {}
        """Per pid: bytes, and CPU seconds so far."""
        self.apps: dict[tuple[str, str], Any] = {}
        self.ledger = SimpleNamespace(recent=[], listeners=[])
        book = UsageBook(lambda: self.sizes, now=lambda: self.now, call_soon=print, sampler=self)
        self.book = book
        loop = SimpleNamespace(
            time=lambda: self.now,
            call_later=self._call_later,
            call_soon=lambda callback, *args: self._call_later(0, lambda: callback(*args)),
        )
        supervisor = SimpleNamespace(apps=self.apps)
        features = SimpleNamespace(usage=lambda: book)
        parts = SimpleNamespace(loop=loop, supervisor=supervisor, features=features, ledger=self.ledger)
        self.recorder = Recorder(cast("Any", parts))
        self.view = HistoryView(self.recorder, cast("Any", SimpleNamespace(targets=self._targets)))

    def _call_later(self, delay: float, callback: Any) -> Any:
        entry = (self.now + delay, callback)
        self.timers.append(entry)
        return SimpleNamespace(cancel=lambda: self.timers.remove(entry) if entry in self.timers else None)

    def _targets(self, name: str) -> Any:
        raise Refusal(404, f"no {name}")

    def sample(self, roots: object) -> dict[int, TreeUsage]:
        """What /proc would say."""
        return {
            pid: TreeUsage(ProcessUsage(pid, 1, pid, pid, 0, size, cpu, 1), (), self.now)
            for pid, (size, cpu) in self.sizes.items()
        }

    def app(self, name: str, *pids: int, predecessors: tuple[int, ...] = ()) -> None:
        """It has these processes now."""
        members = [SimpleNamespace(pid=pid, index=index) for index, pid in enumerate(pids)]
        members += [SimpleNamespace(pid=pid, index=index) for index, pid in enumerate(predecessors)]
        spec = SimpleNamespace(key=lambda: ("default", name))
        self.apps["default", name] = SimpleNamespace(spec=spec, members=lambda: members)

    def uses(self, pid: int, mebibytes: int, cpu_s: float) -> None:
        """From now on."""
        self.sizes[pid] = (mebibytes << 20, cpu_s)

    def pass_(self, seconds: float = STEP) -> None:
        """Time goes on."""
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= until]:
            timer = min(due, key=lambda each: each[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[1]()
        self.now = until

    def ask(self, **query: str) -> Any:
        """The answer as JSON."""
        import json

        answer = self.view.show(Request(method="GET", path=("api", "history"), query=query))
        return json.loads(cast("Any", answer).body)


def test_a_slot_has_the_mean_cpu_and_the_greatest_memory_of_all_samples_in_it() -> None:
    """Whoever takes them: a peak between two of our own is seen."""
    world = World()
    world.app("api", 7)
    world.uses(7, 10, 0.0)
    world.pass_()
    world.uses(7, 90, 2.0)  # two seconds of CPU in the first five
    world.pass_(5)
    world.book.usage()
    world.uses(7, 20, 3.0)
    world.pass_(5)
    [app] = world.ask(points="360")["apps"]
    assert app["memory_bytes"] == [10 << 20, 90 << 20]
    assert app["cpu_percent"] == [0.0, 30.0]


def test_it_survives_reload_scale_and_delete() -> None:
    """The slot counts, not the process; two in one slot add up; the deleted stays until its hour is over."""
    world = World()
    world.app("api", 7)
    world.uses(7, 10, 0.0)
    world.pass_()
    world.app("api", 8, predecessors=(7,))
    world.uses(8, 30, 0.0)
    world.pass_()
    del world.sizes[7]
    world.app("api", 8, 9)
    world.uses(9, 5, 0.0)
    world.pass_()
    del world.sizes[9]
    world.app("api", 8)
    world.pass_()
    world.apps.clear()
    world.sizes.clear()
    world.pass_()
    answer = world.ask(app="api", points="360")
    [app] = answer["apps"]
    assert mebibytes(app) == [10, 40, 35, 30, None]
    assert mebibytes(app["instances"][1]) == [None, None, 5, None, None]
    assert app["cpu_percent"][-1] is None
    assert len(answer["container"]["memory_bytes"]) == 5
    world.pass_(STEP * SLOTS)
    with pytest.raises(Refusal):
        world.ask(app="api")


def test_a_machine_that_slept_leaves_a_gap() -> None:
    """Slots in which nobody looked are empty, and the clock of the rest stays right."""
    world = World()
    world.app("api", 7)
    world.uses(7, 10, 0.0)
    world.pass_()
    world.now += 3 * STEP
    world.pass_()
    [app] = world.ask(points="360")["apps"]
    assert mebibytes(app)[0] == 10
    assert None in app["memory_bytes"]
    assert len(app["memory_bytes"]) == 5


def test_it_is_put_together_to_as_many_points_as_wanted() -> None:
    """An hour in at most so many points, each as long."""
    world = World()
    world.app("api", 7)
    world.uses(7, 10, 0.0)
    world.pass_(STEP * (SLOTS + 5))
    for points, step in ((360, 10), (120, 30), (60, 60), (7, 520), (1, 3600)):
        answer = world.ask(points=str(points))
        assert answer["step_s"] == step
        assert len(answer["apps"][0]["memory_bytes"]) == 3600 // step


def test_it_ends_with_the_control_side() -> None:
    """Nothing is left that listens or waits."""
    world = World()
    world.recorder.close()
    assert (world.timers, world.ledger.listeners, world.book.listeners) == ([], [], [])


# -- asked for -------------------------------------------------------------------------------------------


def test_a_real_runtime_remembers_before_anybody_asks(tmp_path: Any) -> None:
    """With the TCP side from the start, marks of before included; bad questions are refused."""
    broken = '[[apps]]\nname = "bad"\nscript = "/bin/false"\nrestart_delay = 100\nmax_restarts = 3\n'
    sleeper = '[[apps]]\nname = "api"\nscript = "/bin/sleep"\nargs = "1000"\nready_delay = 0\n'
    with operated(tmp_path, sleeper + broken, ready=False) as it:
        it.run.expect(event="instance.errored")
        marks = _history(it)["marks"]
        assert {mark["kind"] for mark in marks if mark["app"] == "bad"} >= {"exit", "gave_up"}
        assert abs(marks[-1]["at"] - time.time()) < 3600
        for query, status in (("points=0", 400), ("points=x", 400), ("app=nobody", 404)):
            assert it.ask(f"/api/history?{query}").status == status
        deadline = time.monotonic() + 60
        while not _history(it, "?points=360")["apps"] and time.monotonic() < deadline:
            time.sleep(0.5)
        [app] = [app for app in _history(it, "?points=360&app=api")["apps"] if app["name"] == "api"]
        assert app["memory_bytes"][-1] > 0
        assert [each["index"] for each in app["instances"]] == [0]


def _history(it: Operated, query: str = "") -> Any:
    return it.ask(f"/api/history{query}", tcp=True).json
