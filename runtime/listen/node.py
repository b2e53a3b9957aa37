"""What has to be known about Node: whether a command line is one, and how the drain preload gets in."""

import os
import re
from pathlib import Path
from typing import Final

from runtime.ecosystem.spec import AppSpec

PRELOAD: Final = Path(__file__).with_name("preload") / "drain.cjs"
_NODE: Final = re.compile(r"(?:.*/)?(?:node|nodejs)(?:-?\d[\d.]*)?")
_RUNNERS: Final = ("npm", "npx", "npm-cli.js", "npx-cli.js", "yarn", "yarnpkg", "yarn.js", "pnpm", "pnpx")


_SHEBANG_BYTES: Final = 256


def is_node(argv: tuple[str, ...]) -> bool:
    """Whether this runs Node: `node app.js`, or a script whose first line names node."""
    if _NODE.fullmatch(argv[0]):
        return True
    return any(_NODE.fullmatch(word) for word in shebang(argv[0]))


def is_package_runner(argv: tuple[str, ...]) -> bool:
    """Whether a package manager stands between us and the app, and would keep the IPC channel for itself."""
    words = [word for word in argv if not word.startswith("-")][:2]
    return any(Path(word).name in _RUNNERS for word in words)


def preload_env(app: AppSpec, users: str) -> dict[str, str] | None:
    """Variables that bring the drain preload into a worker, with NODE_OPTIONS as the `users` wrote it.

    None where the app's user cannot read the file.
    Node refuses to start when a preload is unreadable, so this must not be left to luck.
    """
    if not readable_by(PRELOAD, app.uid, app.gid):
        return None
    # Quoted as node_options.cc reads it: a path may contain spaces.
    path = str(PRELOAD).replace("\\", "\\\\").replace('"', '\\"')
    ours = f'--require "{path}"'
    return {"NODE_OPTIONS": f"{ours} {users}".strip(), "PIDONE_NODE_OPTIONS": users}


def shebang(path: str) -> list[str]:
    """The first words of a script's first line; empty for anything else."""
    try:
        with Path(path).open("rb") as script:
            first = script.readline(_SHEBANG_BYTES)
    except OSError:
        return []
    return first[2:].decode(errors="replace").split()[:3] if first.startswith(b"#!") else []


def readable_by(path: Path, uid: int | None, gid: int | None) -> bool:
    """Whether a user may read a file and pass every folder above it, by mode bits."""
    if uid is None:
        return os.access(path, os.R_OK)
    if uid == 0:
        return path.exists()
    try:
        return all(_allows(folder, uid, gid, 0o1) for folder in path.parents) and _allows(path, uid, gid, 0o4)
    except OSError:
        return False


def _allows(path: Path, uid: int, gid: int | None, bit: int) -> bool:
    status = path.stat()
    if status.st_uid == uid:
        return bool(status.st_mode & bit << 6)
    if gid is not None and status.st_gid == gid:
        return bool(status.st_mode & bit << 3)
    return bool(status.st_mode & bit)
