"""Evaluates a configuration in the image's Node (else bun, else deno), for what our engine lacks."""

import ctypes
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from pidone.descriptors import close
from pidone.ecosystem.document import NODE_PATH
from pidone.ecosystem.formats.javascript.engine import Evaluated, ScriptEnvironment, explain, file_of
from pidone.ecosystem.formats.javascript.esm import rewrite
from pidone.ecosystem.formats.javascript.host import SourcePosition, shim_text
from pidone.ecosystem.formats.javascript.interfaces import interfaces
from pidone.ecosystem.formats.javascript.typescript import SUFFIXES, reads_types, without_types
from pidone.ecosystem.formats.plain import MAX_TEXT
from pidone.ecosystem.formats.secrets import printable, redact, values_of
from pidone.ecosystem.formats.source import Source
from pidone.ecosystem.helper_process import allow_a_process, allow_memory
from pidone.errors import ConfigError

_HEAP_MIB: Final = 128
_DATA_BYTES: Final = 768 << 20
"""Private memory; not the address space, of which V8 reserves a lot more than it uses."""
TIME_LIMIT_S: Final = 75.0
"""By the wall clock, for files that wait for what never comes: less than the 90 s of a whole reading. What it
computes the CPU limit of the child ends, which Node inherits: on a tenth of a CPU that takes a while."""
_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_CLONE_NEWUSER: Final = 0x10000000
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_BY_DENO: Final = (
    "import { createRequire as $createRequire } from 'node:module'; const require = $createRequire('/');"
    " globalThis.Buffer ??= require('node:buffer').Buffer;"  # before 2.4 it is no global
)
_FRAME: Final = re.compile(r"(?:file://)?(/[^:\s()]+):(\d+)(?::(\d+))?")


def find(env: Mapping[str, str]) -> str | None:
    """What there is with Node's built-ins, the best of it."""
    path = env.get("PATH", os.defpath)
    return next(filter(None, (shutil.which(name, path=path) for name in ("node", "bun", "deno"))), None)


def _command(executable: str, code: str, flags: Sequence[str] = ()) -> list[str]:
    """How it is told to evaluate `code`."""
    heap = f"--max-old-space-size={_HEAP_MIB}"
    if os.path.basename(executable) == "deno":  # has no `require` in a module, nor old ones `--ext=cjs`
        return [executable, "eval", "--quiet", "--no-lock", f"--v8-flags={heap}", _BY_DENO + code]
    return [executable, heap, "--no-warnings", *flags, "-e", code]


def evaluate(source: Source, around: ScriptEnvironment, *, node: str) -> Evaluated:
    """Run `source` in `node`.

    Raises:
        ConfigError: as the engine does, or Node itself fails.
    """
    file = file_of(source)
    text, flags = source.text, None
    if file.endswith(SUFFIXES):
        flags = reads_types(node)
        text = without_types(text, file, around.env) if flags is None else text
    facts = {
        "file": file,
        "text": text,
        "argv": around.process_argv(str(source.path)),
        "cpus": around.cpus,
        "execPath": NODE_PATH,
        "interfaces": interfaces(),
        "isModule": flags is not None
        or file.endswith((".mjs", ".mts"))
        or rewrite(text.removeprefix("#!")).is_module,
    }
    data = _run(
        _command(node, shim_text("serialize", "node_runner"), flags or ()),
        facts,
        around.env,
        deadline=time.monotonic() + TIME_LIMIT_S,
    )
    if data is None:
        raise ConfigError(f"{source.name}: takes longer than {TIME_LIMIT_S} s to evaluate in {node}")
    try:
        result: dict[str, Any] = json.loads(data)
    except ValueError:
        raise ConfigError(
            f"{source.name}: {node} ended before it had evaluated it: needs more CPU time or memory than"
            " a configuration may have"
        ) from None
    hidden = values_of(around.env)
    if "error" in result:
        places = _places(result["error"].get("stack", ""), source)
        raise explain(result["error"], source, hidden, places)
    return Evaluated(
        value=result["value"],
        notices=tuple(f"{source.name}: {redact(printable(text), hidden)}" for text in result["notices"]),
        env=result["env"],
    )


def _places(stack: str, source: Source) -> Iterator[SourcePosition]:
    """The frames of a stack that are in the file itself."""
    for file, line, column in _FRAME.findall(stack):
        if file == file_of(source):
            yield SourcePosition(file, int(line), int(column) if column else None, source.text)


def _run(
    command: list[str], facts: Mapping[str, Any], env: Mapping[str, str], *, deadline: float
) -> bytes | None:
    """Give the facts on stdin, take the result from a pipe of its own; None when the time is up.

    Nothing of Node is alive afterwards: it may not start processes, and is killed and reaped here.
    """
    allow_a_process()
    reading, writing = os.pipe()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[writing],
        env=dict(env),
        preexec_fn=_confine,  # noqa: PLW1509 there is one thread
        restore_signals=False,  # SIGXFSZ stays ignored: deno's caches are refused, which it gets over
    )
    close(writing)
    try:
        if process.stdin is None:
            raise AssertionError("asked for a pipe")
        with process.stdin as stdin:
            stdin.write(json.dumps({**facts, "resultFd": writing}).encode())
        return _read(reading, deadline)
    except BrokenPipeError:
        return b""
    finally:
        process.kill()
        process.wait()
        close(reading)


def _read(descriptor: int, deadline: float) -> bytes | None:
    data = bytearray()
    while len(data) <= 2 * MAX_TEXT:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            break
        data += chunk
    return bytes(data)


def _confine() -> None:
    """Between fork and exec: Node needs address space, but no network and no gigabytes."""
    allow_memory()
    with suppress(OSError, ValueError):  # a sandbox without prlimit64(2)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(
            resource.RLIMIT_DATA,
            (_DATA_BYTES if hard == resource.RLIM_INFINITY else min(_DATA_BYTES, hard), hard),
        )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # prctl(2): should we be killed, Node ends as well
    # A network namespace of its own, if there may be one: root can, others where user namespaces are allowed.
    # Else the file could connect, as under PM2.
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
