"""Takes the types out of TypeScript by what the image has (Node, bun, packages) or finds who evaluates it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pidone.ecosystem.helper_process import allow_a_process, allow_memory
from pidone.ecosystem.programs.node import typescript_flags
from pidone.errors import ConfigError

SUFFIXES: Final = (".ts", ".mts", ".cts")
_PATIENCE_S: Final = 20
_BY_NODE: Final = """
const text = require('fs').readFileSync(0, 'utf8');
const own = require('module').createRequire(process.argv[1]);
const { stripTypeScriptTypes: strip } = require('module');
for (const stripped of [
  () => strip && strip(text),
  () => strip && strip(text, { mode: 'transform' }),
  () => own('typescript').transpileModule(text, { compilerOptions: { module: 99, target: 99 } }).outputText,
  () => own('esbuild').transformSync(text, { loader: 'ts' }).code,
  () => own('sucrase').transform(text, { transforms: ['typescript'] }).code,
]) {
  let code;
  try { code = stripped(); } catch { continue; }
  if (code) { process.stdout.write(code); process.exitCode = 0; break; }
  process.exitCode = 1;
}
"""
_BY_BUN: Final = (
    "process.stdout.write(new Bun.Transpiler({loader: 'ts'}).transformSync(await Bun.stdin.text()))"
)


class NoStripperError(ConfigError):
    """Nothing here takes types away."""


def without_types(text: str, path: str, env: Mapping[str, str]) -> str:
    """The JavaScript of a TypeScript file. Raises NoStripperError."""
    for program, *arguments in (("node", "--no-warnings", "-e", _BY_NODE, path), ("bun", "-e", _BY_BUN)):
        executable = shutil.which(program, path=env.get("PATH", os.defpath))
        if executable and (code := _run([executable, *arguments], text, env)):
            return code
    raise NoStripperError(
        f"{os.path.basename(path)} is TypeScript, and nothing here takes its types away: Node from 22.6 on"
        " does, and bun, deno, and the packages typescript, esbuild and sucrase"
    )


def evaluator(env: Mapping[str, str]) -> str | None:
    """A program that evaluates TypeScript as it is, where nothing gives us the JavaScript of it."""
    found = (shutil.which(name, path=env.get("PATH", os.defpath)) for name in ("deno", "node"))
    return next((program for program in found if program and reads_types(program) is not None), None)


def reads_types(program: str) -> tuple[str, ...] | None:
    """What a program needs to evaluate TypeScript; None if it is to be given JavaScript."""
    if os.path.basename(program) == "deno":
        return ()
    flags = typescript_flags(Path(program)) if os.path.basename(program) == "node" else None
    return (*flags, "--experimental-detect-module") if flags else None


def _run(command: list[str], text: str, env: Mapping[str, str]) -> str:
    allow_a_process()
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            env=dict(env),
            timeout=_PATIENCE_S,
            check=False,
            preexec_fn=allow_memory,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
