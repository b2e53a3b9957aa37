"""The command line of pm2-runtime and pm2-docker, for a Dockerfile that changes one line."""

from collections.abc import Mapping, Sequence
from typing import Final

from runtime.record import EMPTY, Record

_SWITCHES: Final = {
    "--no-auto-exit": ("runtime", "auto_exit", False),
    "--json": ("runtime", "log_format", "pm2"),
    "--format": ("runtime", "log_format", "pm2-format"),
    "--formatted": ("runtime", "log_format", "pm2-formatted"),
    "--raw": ("runtime", "log_format", "raw"),
    "--no-autorestart": ("defaults", "autorestart", False),
    "--no-autostart": ("defaults", "autostart", False),
    "--watch": ("defaults", "watch", True),
}
_VALUES: Final = {
    "-i": ("overrides", "instances"),
    "--instances": ("overrides", "instances"),
    "-n": ("overrides", "name"),
    "--name": ("overrides", "name"),
    "--node-args": ("defaults", "interpreter_args"),
    "--interpreter": ("defaults", "interpreter"),
    "--max-memory-restart": ("defaults", "max_memory_restart"),
    "-c": ("defaults", "cron_restart"),
    "--cron": ("defaults", "cron_restart"),
    "--output": ("defaults", "out_file"),
    "--error": ("defaults", "error_file"),
    "--only": ("settings", "only"),
    "--env": ("settings", "env"),
    "--delay": ("settings", "delay"),
    "--stop-exit-codes": ("settings", "stop_exit_codes"),
}
_IGNORED: Final = {
    "--secret": 1,
    "--public": 1,
    "--machine-name": 1,
    "--trace": 0,
    "--v8": 0,
    "--deep-monitoring": 0,
}
"""Options of PM2's cloud service and how many values each takes."""


class Pm2Options(Record, kw_only=True):
    """What was asked for, in the terms of LoadOptions and the `[runtime]` table."""

    target: str | None = None
    rest: tuple[str, ...] = ()
    """What follows `--`."""
    env_name: str | None = None
    only: tuple[str, ...] = ()
    overrides: Mapping[str, object] = EMPTY
    defaults: Mapping[str, object] = EMPTY
    runtime: Mapping[str, object] = EMPTY
    warnings: tuple[str, ...] = ()


def parse(words: Sequence[str]) -> Pm2Options:
    """Parse what follows the program's name. Nothing is refused, as in PM2, but what is ignored is said."""
    found: dict[str, dict[str, object]] = {"runtime": {}, "overrides": {}, "defaults": {}, "settings": {}}
    targets: list[str] = []
    warnings: list[str] = []
    left = list(words)
    rest: list[str] = []
    started = False
    while left:
        word = left.pop(0)
        name, given, value = word.partition("=") if word.startswith("-") else (word, "", "")
        if word == "--":
            rest, left = left, []
        elif name in _SWITCHES:
            where, key, setting = _SWITCHES[name]
            found[where][key] = setting
        elif name in _VALUES:
            where, key = _VALUES[name]
            if not given and not left:
                warnings.append(f"{name} needs a value and is ignored")
                continue
            found[where][key] = value if given else left.pop(0)
        elif name in _IGNORED or name == "--web":
            takes_value = _IGNORED.get(name, int(bool(left) and left[0].isdecimal()))
            del left[: 0 if given else takes_value]
            warnings.append(f"{name} means nothing here and is ignored")
        elif word.startswith("-") and word != "-":
            warnings.append(f"{name}: unknown option, ignored")
        elif word == "start" and not targets and not started:
            started = True
        else:
            targets.append(word)
    warnings += [f"{extra}: only one file is started, ignored" for extra in targets[1:]]
    return _collected(found, targets[0] if targets else None, tuple(rest), warnings)


def _collected(
    found: dict[str, dict[str, object]], target: str | None, rest: tuple[str, ...], warnings: list[str]
) -> Pm2Options:
    settings = found["settings"]
    if "delay" in settings:  # the one duration that PM2 counts in seconds
        found["runtime"]["start_delay"] = f"{settings['delay']}s"
    if "stop_exit_codes" in settings:
        codes = str(settings["stop_exit_codes"]).replace(",", " ").split()
        found["defaults"]["stop_exit_codes"] = codes
    env_name = settings.get("env")
    return Pm2Options(
        target=target,
        rest=rest,
        env_name=None if env_name is None else str(env_name),
        only=tuple(str(settings.get("only", "")).replace(",", " ").split()),
        overrides=found["overrides"],
        defaults=found["defaults"],
        runtime=found["runtime"],
        warnings=tuple(warnings),
    )
