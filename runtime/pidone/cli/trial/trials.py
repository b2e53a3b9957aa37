"""What is done to an ecosystem, one thing after the other, and what clients saw meanwhile."""

import json
import os
import re
import signal
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from pidone.cli.operate import settling
from pidone.cli.operate.client import CommandError
from pidone.cli.trial import discovery, findings, leftovers
from pidone.cli.trial.answers import FAILURES, Answer, Saw, Tally, tally
from pidone.cli.trial.clients import PATIENCE, Endpoint
from pidone.cli.trial.findings import Finding, Level
from pidone.cli.trial.load import Load
from pidone.cli.trial.running import Running
from pidone.ecosystem.spec import Seconds
from pidone.record import Record

STEADY: Final[Seconds] = 2.0
"""How long the load runs before anything is done."""
_AFTERWARDS: Final[Seconds] = 0.5
"""How long clients are watched after something has happened."""
_FREEZE: Final[Seconds] = 2.0
_STALL: Final[Seconds] = 10.0
_LISTEN_PATIENCE: Final[Seconds] = 5.0
_BEGUN: Final[Seconds] = 0.05
"""A request that is so old has been accepted by a process, not only by the kernel."""
_RELOAD: Final = "reload"
_KILL: Final = "kill -9"
_STANDSTILL: Final = "standstill"
_RECYCLING: Final = "recycling"
_BLOCKED: Final = "blocked stdout"
_BROKEN: Final = "broken version"
_AGAIN: Final = "second start"
NAMES: Final = (_RELOAD, _KILL, _STANDSTILL, _RECYCLING, _BLOCKED, _BROKEN, _AGAIN)
"""What is tried between the start and the stop, and after it."""
_HURRY_TIME: Final[Seconds] = 5.0
_LEAST: Final[Seconds] = 3.0
"""What a trial needs at least; one that has less is left out."""
_POLL: Final[Seconds] = 0.02
_REFUSED: Final = ("app.reload_failed", "instance.backoff", "instance.errored", "config.rejected")
"""Events of a version that does not start."""
_LOGGED: Final = 0.9
"""An app that has so many of its requests in its log logs each."""
_NUMBER: Final = re.compile(r"pidone=(\d+)")
Judge: TypeAlias = Callable[[Tally], list[Finding]]
"""What to say of something that was done, given what clients saw of it."""


class Step(Record, kw_only=True):
    """One trial."""

    name: str
    took: Seconds
    app: str = ""
    tally: Tally | None = None
    findings: tuple[Finding, ...] = ()
    skipped: str = ""

    @property
    def has_failed(self) -> bool:
        """Whether something in it is wrong."""
        return any(finding.level is Level.FAILED for finding in self.findings)


class Trials:
    """Everything that is tried with one ecosystem, in a folder that is ours."""

    def __init__(
        self,
        file: str,
        folder: Path,
        deadline: float,
        *,
        env_name: str | None,
        app: str | None,
        urls: Sequence[str],
        chosen: Sequence[str] = (),
    ) -> None:
        """Nothing is started yet; only `chosen` of NAMES will be tried, all if there is none."""
        self._file = file
        self._folder = folder
        self._deadline = deadline
        self._env_name = env_name
        self._only = app
        self._urls = urls
        self._chosen = chosen or NAMES
        self._mark = uuid.uuid4().hex
        self._overlay = folder / "overlay.toml"
        self._targets: list[Endpoint] = []
        self._windows: list[tuple[str, float, float]] = []
        """Name, begin and end of what was done (time.monotonic)."""
        self.steps: list[Step] = []

    def run(self) -> list[Step]:
        """All of them. Raises CommandError for words that fit nothing, OSError."""
        self._write_overlay(None)
        with Load() as self._load, self._runtime("first") as self._now:
            if self._start():
                self._while_it_runs()
            self._stop()
        self._log_lines()
        if not any(step.name in ("start", "stop") and step.has_failed for step in self.steps):
            self._second_start()
        self._leftovers()
        return self.steps

    def _runtime(self, name: str) -> AbstractContextManager[Running]:
        files = (self._file, str(self._overlay))
        return Running.started(files, self._folder / name, self._env_name, self._mark)

    def _start(self) -> bool:
        began = time.monotonic()
        failure = self._now.own.wait_ready(self._deadline)
        if failure:
            lines = [line for app in self._now.names() for line in self._now.records.lines(app)]
            self._add("start", began, findings.of_no_start(failure, lines))
            return False
        for app in self._apps():
            self._begin_load(app, began)
        if self._only is not None and not self._apps():
            raise CommandError(
                f"--app {self._only}: there is no such app (there are: {', '.join(self._now.names())})", 66
            )
        return True

    def _begin_load(self, app: str, began: float) -> None:
        waited = 0.0
        if self._urls:
            targets = discovery.from_urls(self._urls, app) if app == self._apps()[0] else []
        else:
            until = self._until(_LISTEN_PATIENCE)
            targets, waited = discovery.find(app, lambda: self._now.pids(app), until)
        for target in targets:
            self._load.add(target)
        self._targets += targets
        asked = time.monotonic()
        if targets:
            time.sleep(max(0.0, min(STEADY, self._deadline - asked)))
            self._load.book.leave_out(app, self._unfit(asked))
        seen = tally(self._load.book.since(asked)) if targets else None
        found = findings.of_start(seen, waited, self._now.ready_by(app)) if seen else []
        self._add("start", began, found, app, seen)

    def _unfit(self, began: float) -> set[str]:
        """Kinds of clients beside the plain ones that already fail while nothing is done."""
        plain = ("new", "keep-alive")
        steady = self._load.book.since(began)
        return {each.client for each in steady if each.client not in plain and each.saw in FAILURES}

    def _while_it_runs(self) -> None:
        apps = [app for app in self._apps() if self._now.pids(app)]
        for app in apps:
            self._try(_RELOAD, app, partial(self._replace, app, app))
            self._try(_KILL, app, partial(self._kill, app))
            self._try(_STANDSTILL, app, partial(self._freeze, app))
            self._try(_RECYCLING, app, partial(self._replace, app, f"{app}:0"))
        if self._targets:
            self._try(_BLOCKED, "", self._stall, needs=_STALL)
        for app in apps:
            self._try(_BROKEN, app, partial(self._break, app))

    def _try(
        self,
        name: str,
        app: str,
        disturb: Callable[[], Callable[[Tally], list[Finding]]],
        needs: Seconds = _LEAST,
    ) -> None:
        """Do one thing, and judge by what clients saw from its begin to a moment after its end."""
        if name not in self._chosen:
            return
        began = time.monotonic()
        if self._now.own.process.poll() is not None:
            self.steps.append(Step(name=name, app=app, took=0.0, skipped="the runtime has ended"))
            return
        if began + needs > self._deadline:
            self.steps.append(Step(name=name, app=app, took=0.0, skipped="no time left: --timeout"))
            return
        try:
            judge = disturb()
        except CommandError as error:
            self._add(name, began, [Finding(Level.FAILED, str(error))], app)
            return
        ended = time.monotonic()
        time.sleep(_AFTERWARDS if self._targets else 0)
        self._windows.append((name, began, time.monotonic()))
        self._load.book.settle(ended, ended + PATIENCE)
        seen = tally(self._answers(began, app))
        self._add(name, began, judge(seen), app, seen if self._targets else None)

    def _replace(self, app: str, target: str) -> Judge:
        since = self._now.records.many
        settling.act(self._now.own.client, target, "reload")
        failure = ""
        if not self._wait(("app.reloaded", "app.reload_failed"), app, since):
            failure = "the reload does not come to its end"
        for event in self._now.of(app, "app.reload_failed", since):
            failure = f"the reload failed: {event['message']}"
        return lambda seen: findings.of_replacement(self._now.seen(app, since, seen, failure=failure))

    def _kill(self, app: str) -> Judge:
        since = self._now.records.many
        pids = self._serving(app)
        os.kill(pids[0], signal.SIGKILL)
        failure = ""
        if not self._wait(("instance.online", "instance.errored"), app, since):
            failure = "no new process gets ready"
        ends = self._now.of(app, "instance.exit", since)[1:]
        if ends or self._now.of(app, "instance.errored", since):
            said = self._now.last_line(since)
            failure = f"{ends[-1]['message'] if ends else failure}" + (f" ({said})" if said else "")
        return lambda seen: findings.of_kill(
            self._now.seen(app, since, seen, processes=len(pids), failure=failure)
        )

    def _freeze(self, app: str) -> Judge:
        since = self._now.records.many
        pid = self._serving(app)[0]
        with suppress(ProcessLookupError):  # a health check may have replaced it meanwhile, as it should
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(_FREEZE)
            finally:
                os.kill(pid, signal.SIGCONT)
        return lambda seen: findings.of_freeze(self._now.seen(app, since, seen))

    def _stall(self) -> Judge:
        since = self._now.records.many
        self._now.records.stall()
        try:
            time.sleep(_STALL)
        finally:
            self._now.records.resume()
        return lambda seen: findings.of_stall(self._now.seen("", since, seen), _STALL)

    def _break(self, app: str) -> Judge:
        """A version whose program ends at once, brought by a changed file; then the good one again."""
        since = self._now.records.many
        self._write_overlay(app)
        self._now.own.process.send_signal(signal.SIGHUP)
        self._wait(_REFUSED, app, since)
        self._write_overlay(None)
        again = self._now.records.many
        self._now.own.process.send_signal(signal.SIGHUP)
        self._wait(("config.reload",), "", again)
        recovered = self._now.own.wait_ready(self._until(2 * PATIENCE))
        return lambda seen: findings.of_broken(self._now.seen(app, since, seen), recovered)

    def _stop(self) -> None:
        began, since = time.monotonic(), self._now.records.many
        process = self._now.own.process
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        ended = self._now.wait_end(max(self._deadline, began + _HURRY_TIME))
        took = time.monotonic() - began
        self._load.book.settle(began, time.monotonic() + 1)
        in_progress = self._load.book.since(began, began - _BEGUN)
        self._load.end()
        if not ended:
            what = f"it still runs {took:.1f} s after SIGTERM; no more time: --timeout"
            self._add("stop", began, [Finding(Level.FAILED, what)])
            return
        seen = tally(in_progress)
        last = self._now.records.events("runtime.exit", since)
        said = str(last[-1]["message"]) if last else ""
        facts = self._now.seen("", since, seen)
        self._add("stop", began, findings.of_stop(facts, took, process.returncode, said), "", seen)

    def _second_start(self) -> None:
        if _AGAIN not in self._chosen:
            return
        if time.monotonic() + _LEAST > self._deadline:
            self.steps.append(Step(name=_AGAIN, took=0.0, skipped="no time left: --timeout"))
            return
        began = time.monotonic()
        with self._runtime("second") as self._now:
            failure = self._now.own.wait_ready(self._deadline)
            said = self._now.last_line() if failure else ""
            self._add(_AGAIN, began, findings.of_second_start(failure, said))
            if failure:
                return
            began = time.monotonic()
            for _ in range(2):
                self._now.own.process.send_signal(signal.SIGTERM)
                time.sleep(0.1)
            ended = self._now.wait_end(began + _HURRY_TIME)
            took = time.monotonic() - began
            self._add("second SIGTERM", began, findings.of_hurry(took, ended))

    def _leftovers(self) -> None:
        began = time.monotonic()
        left = leftovers.marked(self._mark)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._add("left behind", began, findings.of_leftovers(list(left.values())))

    def _log_lines(self) -> None:
        """Whether every answered request is in the log, if the app logs requests at all."""
        began = time.monotonic()
        lines = map(json.dumps, self._now.records.of_apps())
        numbers = {int(number) for line in lines for number in _NUMBER.findall(line)}
        answered = [each for each in self._load.book.since(0.0) if each.saw is Saw.ANSWERED]
        if not answered or len(numbers) < _LOGGED * len(answered):
            return
        missing = [self._during(each) for each in answered if each.number not in numbers]
        lost = [name for name in missing if name != _KILL]
        self._add("log", began, findings.of_log(len(lost), len(answered), sorted(set(lost))))

    def _during(self, answer: Answer) -> str:
        """The name of the trial in which a request ended."""
        for name, began, ended in self._windows:
            if began <= answer.ended <= ended:
                return name
        return "stop" if self._windows and answer.ended > self._windows[-1][2] else "start"

    def _apps(self) -> list[str]:
        return [name for name in self._now.names() if self._only in (None, name)]

    def _serving(self, app: str) -> list[int]:
        """Raises CommandError if there is no such process."""
        pids = self._now.pids(app)
        if not pids:
            raise CommandError(f"no process of {app} is online any more")
        return pids

    def _wait(self, events: Sequence[str], app: str, since: int) -> bool:
        return self._now.wait_for(events, app, since, self._until(4 * PATIENCE))

    def _until(self, patience: Seconds) -> float:
        return min(self._deadline, time.monotonic() + patience)

    def _answers(self, began: float, app: str) -> list[Answer]:
        return [each for each in self._load.book.since(began) if app in ("", each.app)]

    def _write_overlay(self, broken: str | None) -> None:
        text = f'[[apps]]\nname = "{broken}"\nscript = "/bin/false"\n' if broken else "apps = []\n"
        self._overlay.write_text(text, encoding="utf-8")

    def _add(
        self, name: str, began: float, found: Sequence[Finding], app: str = "", seen: Tally | None = None
    ) -> None:
        took = time.monotonic() - began
        self.steps.append(Step(name=name, app=app, took=took, tally=seen, findings=tuple(found)))
