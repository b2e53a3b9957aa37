"""A command line as the keys of an app: a shell only where it needs one, its port as a socket to share."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pidone.ecosystem.programs.program import plain_words
from pidone.ecosystem.references import escape
from pidone.ecosystem.values import Invalid
from pidone.ecosystem.values.network import LISTEN

_BIND: Final = {"gunicorn": ("-b", "--bind"), "hypercorn": ("-b", "--bind")}
_PLACEHOLDERS: Final = {"hypercorn": ("-b", "fd://{fd}"), "gunicorn": ()}


def command_keys(command: str | Sequence[str]) -> Mapping[str, Any]:
    """`script`, `args` and `listen` of a text for a shell, or of words as they are."""
    if isinstance(command, str):
        command = command.removeprefix("exec ")
    words = plain_words(command) if isinstance(command, str) else tuple(command)
    if not words and isinstance(command, str):
        return {"script": escape(command)}
    if len(words) == 3 and words[0].rpartition("/")[2] in ("sh", "bash") and words[1] == "-c":
        return command_keys(words[2])
    script, *args = map(escape, words)
    keys = {"script": script, "args": args} if args else {"script": script}
    return _with_socket(keys)


def _with_socket(keys: dict[str, Any]) -> Mapping[str, Any]:
    """Servers that take a socket get theirs from the runtime, so that a reload loses nothing."""
    program, args = keys["script"].rpartition("/")[2], list(keys.get("args", ()))
    if program in _BIND:
        address = _taken(args, *_BIND[program])
        more: Sequence[str] = _PLACEHOLDERS[program]
    elif program == "uvicorn" and (port := _taken(args, "--port")):
        address, more = f"{_taken(args, '--host') or '127.0.0.1'}:{port}", ("--fd", "{fd}")
    else:
        return keys
    try:
        LISTEN.parse(address or None)
    except Invalid:  # none, or not to be understood here: as it was
        return keys
    return {"script": keys["script"], "args": [*args, *more], "listen": [address]}


def _taken(args: list[str], *options: str) -> str:
    """The value of an option, which is removed; empty if it is not there or there twice."""
    at = [index for index, arg in enumerate(args) if arg.partition("=")[0] in options]
    if len(at) != 1:
        return ""
    index = at[0]
    _, equals, value = args[index].partition("=")
    if equals:
        del args[index]
        return value
    if index + 1 >= len(args):
        return ""
    value = args[index + 1]
    del args[index : index + 2]
    return value
