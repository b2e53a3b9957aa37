"""Evaluates JavaScript with quickjs-ng."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pidone.ecosystem.document import NODE_PATH
from pidone.ecosystem.formats.javascript.host import Host, SourcePosition, shim_text
from pidone.ecosystem.formats.remedies import JAVASCRIPT, way_out
from pidone.ecosystem.formats.secrets import printable, quote, redact, secret_values, values_of
from pidone.ecosystem.formats.source import Source
from pidone.errors import ConfigError
from pidone.record import Record

_PM2_RUNTIME: Final = "/usr/local/bin/pm2-runtime"

_MEMORY_LIMIT_BYTES: Final = 128 << 20
_STACK_BYTES: Final = 1 << 20
"""Far below the 8 MiB of the main thread, also where a container lowers that."""

_PARTS: Final = ("prologue", "serialize", "console", "path", "process", "builtins", "loader", "main")
"""What every configuration needs; the rest of the shim is compiled when it is asked for."""
_FRAME: Final = re.compile(r"<input>:(\d+):(\d+)")
_MAX_MESSAGE_CHARS: Final = 500


class ScriptEnvironment(Record):
    """What a configuration may see of its process."""

    env: Mapping[str, str]
    argv: Sequence[str]
    """What `process.argv` shows after Node's own two entries; if empty, `start FILE`."""
    cpus: int

    def process_argv(self, file: str) -> list[str]:
        """`process.argv` as under `pm2-runtime start FILE ...`."""
        return [NODE_PATH, _PM2_RUNTIME, *(self.argv or ("start", file))]


class Evaluated(Record):
    """What came out."""

    value: Any
    notices: tuple[str, ...]
    env: Mapping[str, str | None]
    """Variables that the file set or (None) deleted in `process.env`."""


class NodeNeeded(Exception):  # noqa: N818 not an error yet: Node may be there
    """The file asks for what only Node has: a package that did not load, or something the engine lacks."""

    def __init__(
        self, what: str, *, error: ConfigError | None, result: Evaluated | None, program: str | None = None
    ) -> None:
        """What came of it without Node: an error, or a value that Node might see differently.

        `program` can evaluate it where not every Node can.
        """
        super().__init__(what)
        self.what, self.error, self.result, self.program = what, error, result, program


def evaluate(source: Source, around: ScriptEnvironment, *, as_expression: bool) -> Evaluated:
    """Run `source` as a module, or as the expression that "JSON" is.

    Raises:
        ConfigError: it does not compile, throws, never settles, or needs too much.
        NodeNeeded: the file uses what the engine lacks, or the same, and it requires a package.
    """
    bundle = f"(function (ask, facts) {{ 'use strict'; {shim_text(*_PARTS)}\n}})"
    host = Host(first_line=bundle.count("\n") + 2, env=around.env)
    result = _run(bundle, _facts(source, around, host, as_expression=as_expression), host)
    hidden = (*values_of(around.env), *secret_values(result["secrets"]))
    if "error" in result:
        stack = result["error"].get("stack", "")
        frames = (host.place(int(line), int(column)) for line, column in _FRAME.findall(stack))
        failure = explain(result["error"], source, hidden, filter(None, frames))
        needed = host.lacking or (host.third_party and f"requires the package '{host.third_party}'")
        if needed:
            raise NodeNeeded(needed, error=failure, result=None, program=host.program)
        raise failure
    notices = tuple(f"{source.name}: {redact(printable(text), hidden)}" for text in result["notices"])
    evaluated = Evaluated(value=result["value"], notices=notices, env=result["env"])
    if host.lacking:
        raise NodeNeeded(host.lacking, error=None, result=evaluated)
    return evaluated


def _run(bundle: str, facts: Mapping[str, Any], host: Host) -> dict[str, Any]:
    """What the shim reports: a value or an error, and what else there is to know."""
    import _quickjs  # noqa: PLC0415 `import quickjs` would start a thread

    context = _quickjs.Context()
    context.set_memory_limit(_MEMORY_LIMIT_BYTES)
    context.set_max_stack_size(_STACK_BYTES)
    context.add_callable("$ask", host.answer)
    context.set("$facts", json.dumps(facts))
    context.eval(f"globalThis.$shim = {bundle}($ask, JSON.parse($facts))")
    start, idle, outcome = (context.eval(f"$shim.{name}") for name in ("start", "idle", "outcome"))
    context.eval("delete globalThis.$ask; delete globalThis.$facts; delete globalThis.$shim")
    try:
        start()
        while context.execute_pending_job() or idle():
            pass
        result: dict[str, Any] = json.loads(outcome())
    except (_quickjs.JSException, RecursionError) as error:
        # Out of memory or stack: not even the shim's own handling worked. JavaScript throws null then.
        first = str(error).strip().partition("\n")[0]
        message = first if first not in ("", "null") else "out of memory"
        return {"error": {"message": message, "stack": str(error)}, "notices": [], "secrets": []}
    return result


def file_of(source: Source) -> str:
    """The absolute, real path, as Node's `__filename`; standard input lies in the working folder."""
    return os.path.realpath(source.path) if source.path else os.path.join(os.getcwd(), "[stdin]")


def _facts(source: Source, around: ScriptEnvironment, host: Host, *, as_expression: bool) -> dict[str, Any]:
    file = file_of(source)
    facts: dict[str, Any] = {
        "file": file,
        "env": dict(around.env),
        "argv": around.process_argv(str(source.path) if source.path else "-"),
        "cpus": max(1, around.cpus),
        "execPath": NODE_PATH,
        "arch": {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "uid": os.getuid(),
        "gid": os.getgid(),
    }
    if as_expression:
        facts["expression"] = host.at_own_lines(f"({source.text}\n)", file, source.text, shift=1)
    else:
        host.give(file, source.text)
    return facts


def explain(
    error: Mapping[str, str], source: Source, hidden: Sequence[str], places: Iterable[SourcePosition]
) -> ConfigError:
    """`file:line:column: TypeError: ..., at "the source line"`, with a hint where there is a usual mistake.

    The first of `places` that is known to be in a file of the user's is the one that is shown.
    """
    text = error["message"] if "name" not in error else f"{error['name']}: {error['message']}"
    text = redact(printable(" ".join(text.split("\nRequire stack:")[0].split())), hidden)
    if len(text) > _MAX_MESSAGE_CHARS:
        text = text[:_MAX_MESSAGE_CHARS] + "..."
    if "out of memory" in text:
        text = "needs more memory than a configuration may have"
    where, quoted = source.name, ""
    for place in places:
        name = source.name if place.file == file_of(source) else os.path.relpath(place.file)
        lines = place.text.rstrip().split("\n")
        if place.line > len(lines):  # the end of what the file is wrapped in
            where, text = f"{name}:{len(lines)}", "SyntaxError: the file ends before everything is closed"
            break
        where = f"{name}:{place.line}" + (f":{place.column}" if place.column else "")
        shown = redact(quote(lines[place.line - 1], place.column), hidden)
        quoted = f', at "{shown}"' if shown else ""
        break
    else:
        where = _place_of_missing_module(text, source) or where
    return ConfigError(f"{where}: {text}{quoted}{way_out(JAVASCRIPT, text, quoted or source.text)}")


def _place_of_missing_module(text: str, source: Source) -> str | None:
    """A static import fails before any line runs: find its line by the quoted name."""
    found = re.search(r"(?:Cannot find module|requested module) '([^']+)'", text)
    quoted = (source.text.find(f"{mark}{found[1]}{mark}") for mark in ("'", '"')) if found else iter(())
    position = next((position for position in quoted if position >= 0), None)
    return f"{source.name}:{source.text.count(chr(10), 0, position) + 1}" if position is not None else None
