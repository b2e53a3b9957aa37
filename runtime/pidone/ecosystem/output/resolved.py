"""A resolved ecosystem as plain values for people and programs: canonical keys, secrets masked."""

import os
from collections.abc import Mapping
from typing import Any, Final

from pidone import signames
from pidone.ecosystem.keys import APP_GROUPS
from pidone.ecosystem.problems import strip_controls
from pidone.ecosystem.spec import AppSpec, MemoryShare
from pidone.ecosystem.values.quantities import write_duration, write_size
from pidone.masked_args import mask, mask_args
from pidone.masking import mask_named
from pidone.record import EMPTY, Record

_KINDS: Final = {key.name: key.kind for group in APP_GROUPS for key in group.keys}
_WITHIN_ENV: Final = "templates"
_TOLD_ELSEWHERE: Final = frozenset({"name", "argv", "env", _WITHIN_ENV})
"""Told in other lines, whichever file they are from."""
_IN_THE_HEADING: Final = _TOLD_ELSEWHERE | {
    *("script", "args", "interpreter", "interpreter_args", "exec_mode", "instances")
}


def plain(value: object) -> object:
    """A resolved value as JSON can say it: seconds and bytes as numbers, tuples as lists; without secrets."""
    if isinstance(value, MemoryShare):
        return write_size(value)
    if isinstance(value, Record):
        return {name: plain(member) for name, member in value.as_dict().items()}
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, tuple | list):
        words = all(isinstance(member, str) for member in value)
        return mask_args(value, mask_named) if words else [plain(member) for member in value]
    value = os.fspath(value) if isinstance(value, os.PathLike) else getattr(value, "value", value)
    return mask_args([value], mask_named)[0] if isinstance(value, str) else value


def as_plain(app: AppSpec, instances: int) -> dict[str, object]:
    """Every key of an app; `instances` is the number that this container makes of it."""
    found = {name: plain(value) for name, value in app.as_dict().items() if name != _WITHIN_ENV}
    return {
        **found,
        "env": mask(app.env, app.secrets),
        "instances": instances,
        "kill_signal": signames.signal_name(app.kill_signal),
    }


def as_text(app: AppSpec, instances: int, sources: Mapping[str, str] = EMPTY) -> list[str]:
    """An app as lines of a readable table: what runs, then whatever is not the default.

    `sources` says for a key which file it is from, where there are several.
    """
    mode = f"{app.exec_mode.value} x{instances}" + (" (max)" if app.instances == 0 else "")
    command = app.argv or (app.script, *app.args)  # as written, where it is not there yet
    lines = [f"{app.name}  [{mode}]  {' '.join(mask_args(command, mask_named))}"]
    default = AppSpec(name=app.name, argv=app.argv)

    def from_where(name: str) -> str:
        return f"  ({sources[name]})" if name in sources else ""

    for name, value in app.as_dict().items():
        # The heading has them all; a line of its own tells from which of several files it is.
        is_told = name in _IN_THE_HEADING and (name in _TOLD_ELSEWHERE or name not in sources)
        is_wanted = value != getattr(default, name) or (name in sources and value is not None)
        if is_wanted and not is_told:
            lines.append(f"    {name:<26} {_written(name, value)}{from_where(name)}")
    lines += [
        f"    env {name:<22} {value}{from_where('env.' + name)}"
        for name, value in mask(app.env, app.secrets).items()
    ]
    if files := sorted({*sources.values()}):
        lines[0] += f"  ({', '.join(files)})"
    return [strip_controls(line) for line in lines]


def _written(name: str, value: Any) -> str:
    kind = _KINDS.get(name)
    if kind and kind.write in (write_duration, write_size):
        return str(kind.write(value))
    if name == "instances" and value == 0:
        return "max"
    if name == "umask":
        return f"{value:03o}"
    if name == "kill_signal":
        return signames.signal_name(int(value))
    if isinstance(value, Record):
        value = _only_set(value)
    readable = plain(value)
    if isinstance(readable, list):
        return ", ".join(_entry(item) for item in readable)
    return _entry(readable)


def _only_set(record: Record) -> dict[str, object]:
    return {name: member for name, member in record.as_dict().items() if member not in (None, False, ())}


def _entry(item: object) -> str:
    if isinstance(item, dict):
        return " ".join(
            f"{name}={_entry(member)}" for name, member in item.items() if member not in (None, "", [])
        )
    if isinstance(item, list):
        return " ".join(str(member) for member in item)
    return str(item).lower() if isinstance(item, bool) else str(item)
