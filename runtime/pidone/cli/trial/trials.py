"""What is done to an ecosystem, one thing after the other, and what clients saw meanwhile."""

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from pidone.cli.operate import settling
from pidone.cli.operate.client import CommandError
from pidone.cli.trial import discovery, leftovers, lines, verdicts
from pidone.cli.trial.answers import FAILURES, Answer, Saw, Tally, ended_at_once, quickest, tally
from pidone.cli.trial.clients import PATIENCE, Endpoint
from pidone.cli.trial.families import Families, memory
from pidone.cli.trial.findings import Finding, Known, Level, Seen
from pidone.cli.trial.load import Load
from pidone.cli.trial.records import Records
from pidone.cli.trial.running import Running
from pidone.cli.trial.steps import (
    AGAIN,
    BLOCKED,
    BROKEN,
    KILL,
    NAMES,
    RECYCLING,
    RELOAD,
    STANDSTILL,
    START,
    STOP,
    Draft,
    Judge,
    Step,
    known_of,
)
from pidone.ecosystem.spec import Seconds
from pidone.init.exitcodes import ExitCode

STEADY: Final[Seconds] = 2.0
"""How long the load runs before anything is done."""
_AFTERWARDS: Final[Seconds] = 0.5
"""Clients are watched until nobody has seen a failure for so long,"""
_CALM_BY: Final[Seconds] = 5.0
"""but no longer than that after something has happened."""
_FREEZE: Final[Seconds] = 2.0
_STALL: Final[Seconds] = 10.0
_LISTEN_PATIENCE: Final[Seconds] = 10.0
_BEGUN: Final[Seconds] = 0.05
"""A request that is so old has been accepted by a process, not only by the kernel."""
_AROUND: Final[Seconds] = 0.7
_A_WAIT: Final[Seconds] = 0.02
"""A client that waited so long for a processor shortly before or after a request: what it saw came late."""
_LONGEST: Final[Seconds] = 1.6
"""What a client that takes its time needs for a request that is answered at once."""
_HURRY_TIME: Final[Seconds] = 10.0
_LEAST: Final[Seconds] = 3.0
"""What a trial needs at least; one that has less is left out."""
_RESERVE: Final[Seconds] = 4.0
"""What the stop needs beside the slowest one so far."""
_TIME_TO_GO: Final[Seconds] = 3.0
"""What was killed last may need that to be gone."""
_EVERY: Final[Seconds] = 0.2
_REFUSALS: Final = (ExitCode.USAGE, ExitCode.PORT_TAKEN, ExitCode.CONFIG)
"""Codes of a runtime that does not start anything of a file."""
_REFUSED: Final = ("app.reload_failed", "instance.backoff", "instance.errored", "config.rejected")
"""Events of a version that does not start."""


class _Skipped(Exception):  # noqa: N818 (an outcome, not an error)
    """A trial cannot be made, or came to no end; the message says why."""


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
        self._windows: list[lines.Window] = []
        self._drafts: list[Draft] = []
        self._began = 0.0
        """When the latest trial did (time.monotonic)."""
        self._opened: dict[str, discovery.Opened] = {}
        self._logs: list[Records] = []

    def log(self) -> str:
        """All records so far, as JSON lines."""
        return "".join(f"{json.dumps(each)}\n" for records in self._logs for each in records.all())

    def run(self) -> list[Step]:
        """All of them. Raises CommandError for words that fit nothing, OSError."""
        self._write_overlay(None)
        with Load() as self._load, self._runtime("first") as self._now:
            is_up = self._start()
            if is_up:
                self._while_it_runs()
            self._stop()
        steps = [draft.judged(self._known(draft.app)) for draft in self._drafts]
        steps += self._log_lines()
        ended = all(draft.name != STOP or not draft.skipped for draft in self._drafts)
        if is_up and ended and not any(step.name == STOP and step.has_failed for step in steps):
            steps += self._second_start()
        return [*steps, self._leftovers()]

    def _runtime(self, name: str) -> AbstractContextManager[Running]:
        files = (self._file, str(self._overlay))
        self._logs.append(records := Records())
        return Running.started(files, self._folder / name, self._env_name, self._mark, records)

    def _start(self) -> bool:
        began = time.monotonic()
        failure = self._now.own.wait_ready(self._deadline)
        if failure:
            self._raise_if_refused()
            wrote = [line for app in self._now.names() for line in self._now.records.lines(app)]
            holder = self._now.stranger(wrote)
            self._note(START, began, lambda _: verdicts.of_no_start(failure, wrote, holder))
            return False
        for app in self._apps():
            self._begin_load(app, began)
        if self._only is not None and not self._apps():
            raise CommandError(
                f"--app {self._only}: there is no such app (there are: {', '.join(self._now.names())})", 66
            )
        return True

    def _raise_if_refused(self) -> None:
        """Raises CommandError with the runtime's own words if it refuses the file."""
        code = self._now.own.process.poll()
        said = [str(each["message"]) for each in self._now.records.events("stderr")]
        if code in _REFUSALS and said:
            raise CommandError("\n".join(said).removeprefix("pidone: "), code)

    def _begin_load(self, app: str, began: float) -> None:
        ready = time.monotonic()
        opened = self._opened[app] = discovery.Opened(app, ready)
        if self._urls:
            self._ask(discovery.from_urls(self._urls, app) if app == self._apps()[0] else [])
        else:
            self._ask(opened.wait(lambda: self._now.pids(app), self._until(_LISTEN_PATIENCE)))
        self._began = asked = time.monotonic()
        is_asked = any(target.app == app for target in self._targets)
        if is_asked:
            while time.monotonic() < min(asked + STEADY, self._deadline):
                time.sleep(_EVERY)
                self._ask_new(app)
            self._load.book.settle(time.monotonic() - _LONGEST, self._until(PATIENCE))
            self._load.book.leave_out(app, self._unfit(asked))
        seen = tally(self._answers(asked, app))
        facts = self._seen(app, 0, seen)
        unasked = [] if is_asked or self._urls else self._nobody_asked(app)
        self._note(
            START,
            began,
            lambda _: [*verdicts.of_start(facts, {} if self._urls else opened.late), *unasked],
            app,
            seen if is_asked else None,
        )

    def _nobody_asked(self, app: str) -> list[Finding]:
        mute = self._opened[app].mute
        ports = sorted(each.port for each in mute if not each.unix)
        return verdicts.of_nobody_asked(ports, sorted(each.unix for each in mute if each.unix))

    def _ask(self, targets: Sequence[Endpoint]) -> None:
        for target in targets:
            self._load.add(target)
        self._targets += targets

    def _ask_new(self, app: str) -> None:
        """Ports that were opened since the last look."""
        if not self._urls and app in self._opened:
            self._ask(self._opened[app].more(self._now.pids(app)))

    def _unfit(self, began: float) -> set[str]:
        """Kinds of clients beside the plain ones that already fail while nothing is done."""
        plain = ("new", "keep-alive")
        steady = self._load.book.since(began)
        return {each.client for each in steady if each.client not in plain and each.saw in FAILURES}

    def _while_it_runs(self) -> None:
        apps = [app for app in self._apps() if self._now.pids(app)]
        for app in apps:
            self._try(RELOAD, app, partial(self._replace, app, app))
            self._try(KILL, app, partial(self._kill, app))
            self._try(STANDSTILL, app, partial(self._freeze, app))
            self._try(RECYCLING, app, partial(self._replace, app, f"{app}:0"))
        if self._targets:
            self._try(BLOCKED, "", self._stall, needs=_STALL)
        for app in apps:
            self._try(BROKEN, app, partial(self._break, app))

    def _try(
        self, name: str, app: str, disturb: Callable[[], Callable[[Tally], Judge]], needs: Seconds = _LEAST
    ) -> None:
        """Do one thing, and judge by what clients saw from its begin until they are content again."""
        if name not in self._chosen:
            return None
        self._began = began = time.monotonic()
        if self._now.own.process.poll() is not None:
            return self._skip(name, app, "the runtime has ended")
        if began + needs > self._end_of_trials:
            return self._skip(name, app, "no time left: --timeout")
        if app:
            self._ask_new(app)
        try:
            judge_of = disturb()
        except _Skipped as error:
            return self._skip(name, app, str(error), began)
        except CommandError as error:
            what = str(error)
            return self._note(name, began, lambda _: [Finding(Level.FAILED, what)], app)
        ended = time.monotonic()
        self._calm_down(app)
        self._windows.append(lines.Window(name, began, time.monotonic()))
        self._load.book.settle(ended, self._until(PATIENCE))
        seen = self._counted(self._answers(began, app))
        return self._note(name, began, judge_of(seen), app, seen if self._targets else None)

    def _calm_down(self, app: str) -> None:
        """Until clients see no failures any more, but for those that they see always."""
        if not self._targets:
            return
        usual = self._known(app).by_itself
        ended = time.monotonic()
        until = min(ended + _CALM_BY, self._end_of_trials)
        time.sleep(_AFTERWARDS)
        while time.monotonic() < until:
            latest = self._answers(time.monotonic() - _AFTERWARDS, app)
            if not any(each.saw in FAILURES and each.saw not in usual for each in latest):
                return
            time.sleep(_EVERY)

    def _replace(self, app: str, target: str) -> Callable[[Tally], Judge]:
        since = self._now.records.many
        with Families(self._serving(app)) as families:
            settling.act(self._now.own.client, target, "reload")
            if not self._wait(("app.reloaded", "app.reload_failed"), app, since) and not self._now.killed_any(
                app, since
            ):
                raise _Skipped("not done in time: --timeout")
        failure = ""
        for event in self._now.of(app, "app.reload_failed", since):
            said = self._now.last_words(since)
            failure = f"the reload failed: {event['message']}" + (f" ({said})" if said else "")
        return lambda seen: partial(
            verdicts.of_replacement, self._seen(app, since, seen, failure=failure, families=families)
        )

    def _kill(self, app: str) -> Callable[[Tally], Judge]:
        since = self._now.records.many
        pids = self._serving(app)
        os.kill(pids[0], signal.SIGKILL)
        if not self._wait(("instance.online", "instance.errored"), app, since):
            raise _Skipped("not done in time: --timeout")
        return lambda seen: self._judge_of_kill(app, since, pids, seen)

    def _judge_of_kill(self, app: str, since: int, pids: Sequence[int], seen: Tally) -> Judge:
        crashes = [each for each in self._now.crashes(app, since) if each["pid"] != pids[0]]
        again = self._now.failed_starts(app, since)
        failure = ""
        if again or self._now.of(app, "instance.errored", since):
            said = self._now.last_words(since)
            failure = f"{again[-1]['message'] if again else 'given up'}" + (f" ({said})" if said else "")
        facts = self._seen(app, since, seen, processes=len(pids), failure=failure, crashes=crashes)
        return partial(verdicts.of_kill, facts)

    def _freeze(self, app: str) -> Callable[[Tally], Judge]:
        since = self._now.records.many
        pid = self._serving(app)[0]
        with suppress(ProcessLookupError):  # a health check may have replaced it meanwhile, as it should
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(_FREEZE)
            finally:
                os.kill(pid, signal.SIGCONT)
        return lambda seen: partial(verdicts.of_freeze, self._seen(app, since, seen))

    def _stall(self) -> Callable[[Tally], Judge]:
        since, began = self._now.records.many, time.monotonic()
        if not any(self._now.pids(app) for app in self._apps()):
            raise _Skipped("no process is online any more")
        used = {pid: memory(pid) for app in self._apps() for pid in self._now.pids(app)}
        self._now.records.stall()
        try:
            time.sleep(_STALL)
        finally:
            self._now.records.resume()
        grown = sum(max(0, memory(pid) - before) for pid, before in used.items())
        answered = len([each for each in self._load.book.since(began) if each.saw is Saw.ANSWERED])
        return lambda seen: partial(
            verdicts.of_stall, self._seen("", since, seen), _STALL, grown=grown, answered=answered
        )

    def _break(self, app: str) -> Callable[[Tally], Judge]:
        """A version whose program ends at once, brought by a changed file; then the good one again."""
        since = self._now.records.many
        self._serving(app)
        self._write_overlay(app)
        self._now.own.process.send_signal(signal.SIGHUP)
        was_tried = self._wait(_REFUSED, app, since)
        self._write_overlay(None)
        again = self._now.records.many
        self._now.own.process.send_signal(signal.SIGHUP)
        self._wait(("config.reload",), "", again)
        recovered = self._now.own.wait_ready(self._end_of_trials)
        if not was_tried or (recovered and time.monotonic() > self._end_of_trials):
            raise _Skipped("not done in time: --timeout")
        return lambda seen: partial(verdicts.of_broken, self._seen(app, since, seen), recovered)

    def _stop(self) -> None:
        began, since = time.monotonic(), self._now.records.many
        self._began, process = began, self._now.own.process
        if process.poll() is not None:
            return
        with suppress(CommandError):
            mains = [pid for app in self._apps() for pid in self._now.pids(app)]
        with Families(mains) as families:
            process.send_signal(signal.SIGTERM)
            ended = self._now.wait_end(max(self._deadline, began + _HURRY_TIME))
        took = time.monotonic() - began
        self._load.book.settle(began, time.monotonic() + 1)
        in_progress = self._load.book.since(began, began - _BEGUN)
        later = [
            each for each in self._load.book.since(began) if each.saw is Saw.ERROR and each not in in_progress
        ]
        self._load.end()
        if not ended:
            self._skip(
                STOP, "", f"it still runs {took:.1f} s after SIGTERM, and no time is left: --timeout", began
            )
            return
        seen = self._counted([*in_progress, *later])
        last = self._now.records.events("runtime.exit", since)
        said = str(last[-1]["message"]) if last else ""
        facts = self._seen("", since, seen, families=families)
        code = process.returncode
        self._note(STOP, began, partial(verdicts.of_stop, facts, took, code, said), "", seen)

    def _second_start(self) -> list[Step]:
        if AGAIN not in self._chosen:
            return []
        if time.monotonic() + _LEAST > self._deadline:
            return [Step(name=AGAIN, took=0.0, skipped="no time left: --timeout")]
        began = time.monotonic()
        with self._runtime("second") as now:
            failure = now.own.wait_ready(self._deadline)
            if failure and time.monotonic() > self._deadline and not now.crashes("", 0):
                return [
                    Step(name=AGAIN, took=time.monotonic() - began, skipped="not ready in time: --timeout")
                ]
            said = now.last_words() if failure else ""
            step = _step(AGAIN, began, verdicts.of_second_start(failure, said))
            if failure:
                return [step]
            began = time.monotonic()
            for _ in range(2):
                now.own.process.send_signal(signal.SIGTERM)
                time.sleep(0.1)
            ended = now.wait_end(began + _HURRY_TIME)
            took = time.monotonic() - began
            return [step, _step("second SIGTERM", began, verdicts.of_hurry(took, ended))]

    def _leftovers(self) -> Step:
        began = time.monotonic()
        left = leftovers.marked(self._mark, began + _TIME_TO_GO)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return _step("left behind", began, verdicts.of_leftovers(list(left.values())))

    def _log_lines(self) -> list[Step]:
        """Whether every answered request is in the log, if the apps log requests at all."""
        began = time.monotonic()
        found = lines.missing(self._now.records.of_apps(), self._load.book.since(0.0), self._windows)
        return [] if found is None else [_step("log", began, found)]

    def _known(self, app: str) -> Known:
        return known_of(app, self._drafts, overlaps=self._now.overlaps(app))

    def _apps(self) -> list[str]:
        return [name for name in self._now.names() if self._only in (None, name)]

    def _serving(self, app: str) -> list[int]:
        """Raises _Skipped if there is no such process."""
        pids = self._now.pids(app)
        if not pids:
            raise _Skipped(f"no process of {app} is online any more")
        return pids

    def _seen(self, app: str, since: int, seen: Tally, **facts: Any) -> Seen:
        return self._now.seen(app, since, seen, **facts).but(starved=self._load.is_starved(self._began))

    def _counted(self, answers: Iterable[Answer]) -> Tally:
        """Where clients waited for a processor, what ended at once they noticed later."""
        quick = quickest(self._load.book.since(0.0))

        def at_once(answer: Answer) -> bool:
            starved = self._load.waited(answer.began - _AROUND, answer.ended + _AROUND) > _A_WAIT
            return ended_at_once(answer, quick.get((answer.app, answer.client), 0.0), starved=starved)

        return tally(answers, at_once)

    def _wait(self, events: Sequence[str], app: str, since: int) -> bool:
        return self._now.wait_for(events, app, since, self._end_of_trials)

    @property
    def _end_of_trials(self) -> float:
        """When the stop has to begin."""
        return self._deadline - _RESERVE - self._now.slowest_stop()

    def _until(self, patience: Seconds) -> float:
        return min(self._deadline, time.monotonic() + patience)

    def _answers(self, began: float, app: str) -> list[Answer]:
        return [each for each in self._load.book.since(began) if app in ("", each.app)]

    def _write_overlay(self, broken: str | None) -> None:
        text = f'[[apps]]\nname = "{broken}"\nscript = "/bin/false"\n' if broken else "apps = []\n"
        self._overlay.write_text(text, encoding="utf-8")

    def _skip(self, name: str, app: str, why: str, began: float | None = None) -> None:
        took = time.monotonic() - began if began is not None else 0.0
        self._drafts.append(
            Draft(name=name, app=app, took=took, seen=tally(()), judge=lambda _: [], skipped=why)
        )

    def _note(self, name: str, began: float, judge: Judge, app: str = "", seen: Tally | None = None) -> None:
        took = time.monotonic() - began
        self._drafts.append(
            Draft(name=name, app=app, took=took, tally=seen, seen=seen or tally(()), judge=judge)
        )


def _step(name: str, began: float, found: Sequence[Finding]) -> Step:
    return Step(name=name, took=time.monotonic() - began, findings=tuple(found))
