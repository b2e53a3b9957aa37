"""Why an app is not as it is wanted, and what to do.

`ls`, `describe`, monit and the dashboard all say it in these words.
"""

import re
import signal
from collections.abc import Iterable, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from pidone.control.answers.details import in_words, probe_target
from pidone.control.answers.last_words import last_words
from pidone.control.answers.views import WAITING, shown
from pidone.ecosystem.spec import Bytes, Probe, Seconds
from pidone.host.usage import Usage
from pidone.logs.relay import Relay
from pidone.record import EMPTY, Record
from pidone.signames import signal_name
from pidone.supervise.app import App
from pidone.supervise.instances.instance import Instance
from pidone.supervise.instances.restart import Fate
from pidone.supervise.instances.states import State
from pidone.supervise.wanted import ReloadState

RECENT: Final[Seconds] = 300.0
"""So long after a restart that nobody asked for its reason is told, although all is well since."""
_NEARLY: Final = 0.9
"""Share of its memory limit from which on an instance is told of."""
_MOST_REASONS: Final = 3
_LIMITS: Final = {False: "listen_timeout", True: "reload_timeout"}
"""What limits how long one that starts may take, by whether it shall replace another one."""
_CODES: Final = {126: "not executable", 127: "command not found", 139: "a crash in native code"}
_ADVICE: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (r"ended with code 0$", "it ends without an error: a job that shall wants `autorestart = false`"),
        (r"EADDRINUSE|address (?:is )?already in use", "another process has the port: `ss -ltnp` names it"),
        (r"ENOSPC|no space left", "the disk is full: `df -h` shows which"),
        (r"EACCES|permission denied", "compare the file's owner and mode with the app's `user`"),
        (
            r"OOM|out of memory|SIGKILL \(|heap limit",
            "give the container more memory, or run fewer instances",
        ),
        (r"max_memory_restart", "raise max_memory_restart, or find the leak"),
        (r"ECONNREFUSED|connection refused|could not connect|getaddrinfo|ENOTFOUND|name resolution",
         "is what it connects to up? `wait_for` would wait for it"),
        (r"ModuleNotFound|cannot find module|command not found|ENOENT|no such file",
         "it is missing in the image, or `cwd` or PATH is another one"),
        (r"KeyError|environment variable|not set\b|undefined variable",
         "`pidone env {name}` shows its variables"),
    )
)  # fmt: skip


class Diagnosis(Record):
    """What is to be said of an app or an instance."""

    why: str = ""
    advice: str = ""
    """What to do, if something has to be done."""

    @property
    def view(self) -> Mapping[str, str]:
        """As JSON has it."""
        return {"why": self.why, "advice": self.advice}


_NOTHING: Final = Diagnosis()


class Diagnoser:
    """Looks at what is there when somebody asks; what a process said last is looked for once."""

    def __init__(self, relay: Relay) -> None:
        """`relay` keeps what the apps said."""
        self._relay = relay
        self._words: WeakKeyDictionary[Instance, tuple[int, str]] = WeakKeyDictionary()

    def of(
        self, app: App, waits_for: str, usage: Mapping[int, Usage] = EMPTY, limit: Bytes | None = None
    ) -> tuple[Diagnosis, Mapping[int, Diagnosis]]:
        """What is to be said of the whole, and of each instance by its number."""
        findings = {
            index: self._of_instance(app, each, usage, limit, waits_for)
            for index, each in app.instances.items()
        }
        parts = [self._reload(app, waits_for), self._change(app), *together(findings)]
        whys = [part.why for part in parts if part.why]
        if not whys and waits_for and app.wanted.is_on and not app.is_ready:
            whys = [f"waits for {waits_for}"]
        more = f" (and {len(whys) - _MOST_REASONS} more)" if len(whys) > _MOST_REASONS else ""
        advice = next((part.advice for part in parts if part.advice), "")
        return Diagnosis("; ".join(whys[:_MOST_REASONS]) + more, advice), findings

    def _of_instance(
        self, app: App, instance: Instance, usage: Mapping[int, Usage], limit: Bytes | None, waits_for: str
    ) -> Diagnosis:
        """What is to be said of one."""
        state = instance.state
        if state is State.ONLINE:
            why = self._online(instance, usage, limit)
        elif state is State.ERRORED:
            why = self._errored(instance)
        elif state is State.BACKOFF:
            why = self._failed(instance)
        elif state in (State.PREPARING, State.STARTING):
            why = self._starting(instance)
        elif state.is_ending:
            why = _ending(instance)
        elif shown(app, instance) == WAITING:
            why = f"waits for {waits_for}" if waits_for else ""
        elif state is State.STOPPED:
            why = _stopped(app, instance)
        else:
            return _NOTHING
        return Diagnosis(why, _advice(app, instance, why)) if why else _NOTHING

    def _reload(self, app: App, waits_for: str) -> Diagnosis:
        """What becomes of the reload that somebody asked for."""
        reload = app.wanted.reload
        if reload is None or reload.state is ReloadState.DONE:
            return _NOTHING
        if reload.state is ReloadState.FAILED:
            why = _joined(f"the last reload failed: {reload.message}", self._words_of_others(app))
            return Diagnosis(why, f"what ran before still runs; mend it, then `pidone reload {app.name}`")
        parts = [f"a reload waits for {waits_for}" if waits_for else "a reload is under way"]
        parts += [self._starting(each) for each in app.actual.arriving]
        return Diagnosis(": ".join(filter(None, parts)))

    def _change(self, app: App) -> Diagnosis:
        """What became of a changed file, if the app is not what that says."""
        failure = app.wanted.failed_change
        if not failure:
            return _NOTHING
        why = _joined(f"what its file says now was not taken: {failure}", self._words_of_others(app))
        return Diagnosis(why, "what ran before still runs; mend it, then have the file read again (SIGHUP)")

    def _words_of_others(self, app: App) -> str:
        """What a successor said last that is not there any more."""
        pids = {each.pid for each in app.members()}
        return last_words(self._relay.last(app.spec.key()), lambda pid: pid not in pids)

    def _online(self, instance: Instance, usage: Mapping[int, Usage], limit: Bytes | None) -> str:
        parts = []
        spec = instance.app
        if instance.life.shall_tell and not instance.life.ready_by:
            parts.append(
                (_ready_look(instance) or _untold(instance))
                + f"; counts as online since listen_timeout ({spec.listen_timeout:g} s) is over"
            )
        health = instance.life.looks.get("health")
        if health is not None and health.problem and spec.health is not None:
            counted = f"{health.failures} of {spec.health.failures}"
            parts.append(f"its health check fails ({counted}): {_seen(spec.health, health.problem)}")
        used = None if instance.pid is None else usage.get(instance.pid)
        if limit and used is not None and used.tree.rss > limit * _NEARLY:
            parts.append(f"uses {100 * used.tree.rss // limit} % of its max_memory_restart")
        if instance.policy.flapping:
            parts.append(instance.policy.flapping)
        if instance.failure and (instance.policy.flapping or instance.life.uptime < RECENT):
            parts.append(f"restarted {instance.life.uptime:.0f} s ago: {self._failed(instance)}")
        return "; ".join(parts)

    def _starting(self, instance: Instance) -> str:
        failed = self._failed(instance)
        again = f"started again after: {failed}" if failed else ""
        if instance.state is State.PREPARING:
            return "; ".join(filter(None, ("is being prepared (pre_start, preload)", again)))
        look = _ready_look(instance)
        told = look or (_untold(instance) if instance.app.ready.is_reported else "")
        if told and instance.time_left > 1:
            told += f", {_LIMITS[instance.is_trial]} is over in {instance.time_left:.0f} s"
        return "; ".join(filter(None, (told, again)))

    def _errored(self, instance: Instance) -> str:
        if instance.fate is Fate.GAVE_UP and not instance.reason.startswith("gave up"):
            return instance.reason  # something else than its last end
        failed = self._failed(instance)
        if not instance.reason or instance.reason in failed:
            return failed
        return _joined(instance.reason, failed.removeprefix(instance.reason.partition(": ")[2]))

    def _failed(self, instance: Instance) -> str:
        """Why its life before ended, and what it said then."""
        failure, last = instance.failure, instance.last_exit
        if failure == f"ended with {last}" and last is not None:
            if last.code in _CODES:
                failure += f" ({_CODES[last.code]})"
            elif last.signal == signal.SIGKILL and not instance.life.was_killed:
                failure = f"ended with {signal_name(last.signal)} (not by pidone: for memory, or by somebody)"
        return _joined(failure, self._words_of(instance)) if failure else ""

    def _words_of(self, instance: Instance) -> str:
        pid = instance.failed_pid
        if pid is None:
            return ""
        known = self._words.get(instance)
        if known is None or known[0] != pid:
            records = self._relay.last(instance.app.key())
            known = self._words[instance] = (pid, last_words(records, lambda other: other == pid))
        return known[1]


def _ready_look(instance: Instance) -> str:
    """What its readiness probe saw last."""
    look, probe = instance.life.looks.get("ready"), instance.app.ready.probe
    if look is None or probe is None or not look.problem:
        return ""
    return f"{_seen(probe, look.problem)} ({look.failures} times)"


def _seen(probe: Probe, problem: str) -> str:
    """What is wrong, and where; a command that failed is named by its problem, and may be a long one."""
    if probe.exec and problem.startswith(f"{probe.exec[0]} exited "):
        return problem
    return f"{probe_target(probe)}: {problem}"


def _untold(instance: Instance) -> str:
    """What is missing where no probe looks."""
    ready = in_words(instance.app.ready)
    return f"has not told that it is ready ({ready})" if ready else "has not begun to listen on its port"


def _ending(instance: Instance) -> str:
    left = f", killed in {instance.time_left:.0f} s" if instance.time_left > 1 else ""
    return f"is being stopped{left}" + (f": {instance.reason}" if instance.reason else "")


def _stopped(app: App, instance: Instance) -> str:
    if instance.fate is Fate.STOPPED:
        return f"ended with {instance.last_exit}, one of its stop_exit_codes"
    if app.wanted.was_stopped or app.wanted.rests(instance.index):
        return "was stopped on request"
    if not app.spec.autostart and not instance.life.started_at:
        return "was not started: autostart = false"
    return ""


def _advice(app: App, instance: Instance, why: str) -> str:
    state = instance.state
    name = app.name if len(app.instances) == 1 else f"{app.name}:{instance.index}"
    said = f"`pidone logs {name}` shows all it said"
    if state is State.STOPPED:
        if shown(app, instance) != WAITING:
            return f"`pidone start {name}` starts it"
        first = next((each.app for each in app.spec.depends_on if each.app in why), "")
        return f"`pidone describe {first}` tells what is wrong there" if first else ""
    if any(look.problem for look in instance.life.looks.values()) or state is State.STARTING:
        return said
    known = advice_for(why, name)
    if state is State.ERRORED:
        return f"{known or 'mend that'}, then `pidone start {name}`: it is not tried again"
    return known or (said if instance.failure and state is not State.ONLINE else "")


def advice_for(text: str, name: str) -> str:
    """What is usually to be done about such a trouble of an app; empty if nobody knows."""
    return next((advice for pattern, advice in _ADVICE if pattern.search(text)), "").format(name=name)


def together(findings: Mapping[int, Diagnosis]) -> Iterable[Diagnosis]:
    """What instances have in common is said once, with whom it is true of where that is not all of them."""
    whom: dict[str, list[int]] = {}
    advice: dict[str, str] = {}
    for index, finding in findings.items():
        if finding.why:
            text = _TIMES.sub("", finding.why)
            whom.setdefault(text, []).append(index)
            advice.setdefault(text, finding.advice)
    for text, indexes in sorted(whom.items(), key=lambda each: -len(each[1])):
        if len(indexes) == len(findings):
            yield Diagnosis(text, advice[text])
        else:
            few = ", ".join(map(str, indexes[:_MOST_REASONS])) + (
                ", …" if len(indexes) > _MOST_REASONS else ""
            )
            yield Diagnosis(f"{len(indexes)} of {len(findings)} ({few}): {text}", advice[text])


_TIMES: Final = re.compile(r" \(\d+ times\)|(?<=restarted) \d+ s ago|, \w+ is over in \d+ s")
"""What differs between instances that have the same trouble."""


def _joined(reason: str, words: str) -> str:
    return reason if not words or words in reason else f"{reason}: {words.removeprefix(': ')}"
