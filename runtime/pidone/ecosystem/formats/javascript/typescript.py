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
let wrong;
for (const stripped of [
  () => strip && strip(text),
  () => strip && strip(text, { mode: 'transform' }),
  () => own('typescript').transpileModule(text, { compilerOptions: { module: 99, target: 99 } }).outputText,
  () => own('esbuild').transformSync(text, { loader: 'ts' }).code,
  () => own('sucrase').transform(text, { transforms: ['typescript'] }).code,
]) {
  let code;
  try { code = stripped(); } catch (error) {
    if (error.code === 'ERR_INVALID_TYPESCRIPT_SYNTAX') wrong = error.message;
    continue;
  }
  if (code) { process.stdout.write(code); process.exitCode = 0; wrong = undefined; break; }
  process.exitCode = 1;
}
if (wrong) { process.stdout.write(wrong); process.exitCode = 9; }
"""
_WRONG: Final = 9
"""Exit code of what finds the file wrong; its output says why."""
_BY_BUN: Final = (
    "process.stdout.write(new Bun.Transpiler({loader: 'ts'}).transformSync(await Bun.stdin.text()))"
)


class NoStripperError(ConfigError):
    """Nothing here takes types away."""


def without_types(text: str, path: str, env: Mapping[str, str]) -> str:
    """The JavaScript of a TypeScript file. Raises NoStripperError, or ConfigError for what is wrong in it."""
    for program, *arguments in (("node", "--no-warnings", "-e", _BY_NODE, path), ("bun", "-e", _BY_BUN)):
        executable = shutil.which(program, path=env.get("PATH", os.defpath))
        done = _run([executable, *arguments], text, env) if executable else None
        if done is not None and done.returncode == 0 and done.stdout:
            return done.stdout
        if done is not None and done.returncode == _WRONG:
            why = " ".join(done.stdout.split())
            raise ConfigError(f"{os.path.basename(path)} is wrong as TypeScript: {why}")
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


def _run(command: list[str], text: str, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str] | None":
    allow_a_process()
    try:
        return subprocess.run(
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
        return None
