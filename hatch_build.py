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
    """Adds the command to the scripts of the wheel; `CC` and `CFLAGS` are as for make."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile it aside; with a native file in it the wheel is for this platform."""
        del version
        folder = Path(self.root, "runtime/bin")
        self._folder = tempfile.mkdtemp(prefix="pidone-build-")
        launcher = Path(self._folder, "pidone")
        if compile_launcher(folder / "launcher.c", launcher):
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        else:
            shutil.copy(folder / "pidone-direct", launcher)
        build_data["shared_scripts"][str(launcher)] = "pidone"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made aside."""
        del version, build_data, artifact_path
        shutil.rmtree(self._folder, ignore_errors=True)


def compile_launcher(source: Path, target: Path) -> bool:
    """Whether a compiler was there and did it."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    flags = shlex.split(os.environ.get("CFLAGS", "-Os"))
    try:
        subprocess.run(
            [*compiler, *flags, "-s", "-Wl,--build-id=none", "-o", str(target), str(source)], check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"pidone: without a native launcher: {error}\n")
        return False
    target.chmod(0o755)
    return True
