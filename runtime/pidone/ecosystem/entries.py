"""The keys of a table as the file spells them: which is meant, what it holds, what is wrong with it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pidone.ecosystem import keys
from pidone.ecosystem.problems import Scope, did_you_mean, shown
from pidone.ecosystem.values import Invalid, ValueKind
from pidone.masking import MASK, is_secret

_ELSEWHERE: Final = {
    "cluster": "exec_mode", "mode": "exec_mode", "workers": "instances", "processes": "instances",
    "numprocs": "instances", "replicas": "instances", "scale": "instances", "environment": "env",
    "directory": "cwd", "working_dir": "cwd", "workdir": "cwd", "restart": "autorestart",
    "stop_timeout": "kill_timeout", "stop_grace_period": "kill_timeout", "stopwaitsecs": "kill_timeout",
    "stopsignal": "kill_signal", "ports": "listen", "bind": "listen", "healthcheck": "health",
    "memory": "max_memory_restart", "mem_limit": "max_memory_restart", "stdout_logfile": "out_file",
    "stderr_logfile": "error_file", "entrypoint": "script", "program": "script", "dependencies": "depends_on",
    "before_start": "pre_start", "after_start": "post_start",
}  # fmt: skip
"""What other programs, and people, call our keys."""

_PM2S: Final = {"interpreter_args": "node_args", "interpreter": "exec_interpreter"}
"""What PM2 calls a key that it knows by our name too: in its files that spelling counts before others."""
_EMPTY: Final = (None, "")


class Entry(NamedTuple):
    """A key as the file spells it, with its value as the file has it."""

    spelling: str
    value: object


def option(name: str, value: object) -> Entry:
    """A key that the command line has: messages name what was typed."""
    return Entry(f"--{name.replace('_', '-')}", value)


class Sorted(NamedTuple):
    """The keys of one app by what they are."""

    known: dict[str, Entry]
    """By canonical name."""
    sets: dict[str, Entry]
    """`env_production` by `production`."""
    ignored: list[str]
    """Spellings that mean nothing in a container."""
    unknown: list[str]


def sort_keys(raw: Mapping[str, object], scope: Scope) -> Sorted:
    """Recognise every key of an app. A key that is spelt twice counts by its canonical name, or PM2's.

    In PM2's files what is empty never counts, so another spelling of it does.
    """
    result = Sorted({}, {}, [], [])
    for spelling, value in raw.items():
        key = keys.find(spelling, keys.APP_KEYS)
        if key and key.name in result.known and not scope.problems.document.strict:
            if value in _EMPTY:
                continue
            if result.known[key.name].value in _EMPTY:
                del result.known[key.name]
        # PM2 takes `env_file: {...}` as an environment called "file"; only there it is one.
        if (
            spelling.startswith("env_")
            and (key is None or (isinstance(value, Mapping) and not scope.problems.document.strict))
            and spelling != "env_from_files"
        ):
            result.sets[spelling.removeprefix("env_")] = Entry(spelling, value)
        elif key is None:
            ignored = (
                spelling in keys.NOTHING_IN_A_CONTAINER or keys.snake(spelling) in keys.NOTHING_IN_A_CONTAINER
            )
            (result.ignored if ignored else result.unknown).append(spelling)
        elif key.name not in result.known or spelling == _first(key.name, scope):
            if key.name in result.known:
                scope.warn(
                    f"{result.known[key.name].spelling} is the same key as {spelling}, which counts", spelling
                )
            result.known[key.name] = Entry(spelling, value)
            scope.problems.spellings[*scope.path, key.name] = spelling
        else:
            scope.warn(
                f"{spelling} is the same key as {result.known[key.name].spelling}, which counts", spelling
            )
    return result


def _first(name: str, scope: Scope) -> str:
    return _PM2S.get(name, name) if scope.problems.document.is_pm2s else name


def report_unknown(
    unknown: list[str], known: Iterator[str] | list[str], scope: Scope, *, strict: bool
) -> None:
    """Name keys that nobody knows: errors in our own dialect, warnings in PM2's."""
    words = list(known)
    for spelling in unknown:
        elsewhere = _ELSEWHERE.get(keys.snake(spelling).lower())
        hint = f"; it is called {elsewhere} here" if elsewhere in words else ""
        message = f"{spelling}: unknown key{hint or did_you_mean(keys.snake(spelling), words)}"
        if strict:
            scope.error(message, spelling)
        else:
            scope.warn(message, spelling)


def meant_for_script(unknown: Iterable[str], also_known: Iterable[str]) -> str:
    """A hint at a key that nobody knows and that reads like `script`, or like the list of the apps."""
    hints = ((word, did_you_mean(word, ["script", *also_known])) for word in unknown)
    return next((f"; {word} is unknown, {hint[2:]}" for word, hint in hints if hint), "")


def parse_value(kind: ValueKind, entry: Entry, scope: Scope) -> Any:
    """The resolved value, or None after everything wrong in it has been reported."""
    try:
        advice = kind.advise(entry.value)
        value = kind.parse(entry.value)
    except Invalid as invalid:
        secret = entry.spelling.startswith(("env", "secrets"))
        if not invalid.findings:
            scope.wrong(entry.spelling, entry.value, invalid.expected, secret=secret)
        for finding in invalid.findings:
            dotted = entry.spelling + "".join(
                f"[{k}]" if isinstance(k, int) else f".{k}" for k in finding.path
            )
            nested = scope.at(entry.spelling)
            hidden = finding.value is not None and is_secret(str(finding.path[-1:]))
            quoted = MASK if secret else shown(MASK if hidden else finding.value)
            what = "" if finding.value is None and finding.expected == "is missing" else f" = {quoted}"
            nested.error(f"{dotted}{what}: {finding.expected}", *finding.path)
        return None
    if advice:
        scope.warn(f"{entry.spelling} = {shown(entry.value)}: {advice}", entry.spelling)
    return value
