"""Builds the `pidone` of a wheel: a native launcher where there is a C compiler, else the Python script."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LauncherHook(BuildHookInterface[Any]):
    """Adds the command to the scripts of the wheel; `CC` and `CFLAGS` are as for make.

    With `LAUNCHER=static` it needs no C library: a wheel for every Linux of the compiler's processor.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile it aside; with a native file in it the wheel is for this platform."""
        del version
        folder = Path(self.root, "runtime/bin")
        self._folder = tempfile.mkdtemp(prefix="pidone-build-")
        launcher = Path(self._folder, "pidone")
        static = os.environ.get("LAUNCHER") == "static"
        if compile_launcher(folder / "launcher.c", launcher, static=static):
            build_data["tag"] = f"py3-none-{_everywhere(launcher) if static else _here()}"
            build_data["shared_scripts"][str(folder / "pidone-direct")] = "pidone-direct"
        elif static:
            raise RuntimeError("LAUNCHER=static: there is no compiler for it (CC)")
        else:
            shutil.copy(folder / "pidone-direct", launcher)
        build_data["shared_scripts"][str(launcher)] = "pidone"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made aside."""
        del version, build_data, artifact_path
        shutil.rmtree(self._folder, ignore_errors=True)


def _here() -> str:
    """The platform tag of this machine, for a wheel that is installed where it was built."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _everywhere(program: Path) -> str:
    """The platform tags of a program that needs nothing of a distribution (PEP 600, PEP 656)."""
    header = program.read_bytes()[:20]
    machine = _MACHINES[int.from_bytes(header[18:20], "little")]
    return f"manylinux_2_17_{machine}.manylinux2014_{machine}.musllinux_1_1_{machine}"


_MACHINES = {62: "x86_64", 183: "aarch64"}
"""`e_machine` of elf(5)."""


def compile_launcher(source: Path, target: Path, *, static: bool = False) -> bool:
    """Whether a compiler was there and did it."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    flags = [*shlex.split(os.environ.get("CFLAGS", "-Os")), *(["-static"] if static else [])]
    try:
        subprocess.run(
            [*compiler, *flags, "-s", "-Wl,--build-id=none", "-o", str(target), str(source)], check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"pidone: without a native launcher: {error}\n")
        return False
    target.chmod(0o755)
    return True
