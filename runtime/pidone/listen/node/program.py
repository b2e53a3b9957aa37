"""What has to be known about Node: whether a command line is one, and how the drain preload gets in."""

import os
import string
from typing import Final

from pidone.ecosystem.spec import AppSpec
from pidone.regular import shebang

PRELOAD: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "drain.cjs")
_NAMES: Final = ("node", "nodejs")
_VERSION: Final = "0123456789.-"
_RUNNERS: Final = ("npm", "npx", "npm-cli.js", "npx-cli.js", "yarn", "yarnpkg", "yarn.js", "pnpm", "pnpx")
_LAUNCHERS: Final = (
    *("nodemon", "tsx", "ts-node-dev", "tsnd", "vite-node", "nest", "wrangler"),
    *("cross-env", "cross-env-shell", "env-cmd", "dotenv", "dotenvx"),
    *("concurrently", "npm-run-all", "run-s", "run-p"),
)
_PACKAGES: Final = "node_modules"
_FIRST_WORDS: Final = 4
"""Node, an option with its value, and the program."""
_SCRIPTS: Final = (".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx")
_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "/._-+")
_PERMISSION: Final = ("--permission", "--experimental-permission")


def is_node(app: AppSpec) -> bool:
    """Whether this runs Node: `node app.js`, or a script whose first line names node."""
    return any(os.path.basename(word).rstrip(_VERSION) in _NAMES for word in interpreted_by(app))


def is_package_runner(argv: tuple[str, ...]) -> bool:
    """Whether a package manager stands between us and the app, and would keep the IPC channel for itself."""
    words = [word for word in argv if not word.startswith("-")][:2]
    return any(os.path.basename(word) in _RUNNERS for word in words)


def without_launcher(app: AppSpec) -> tuple[str, ...]:
    """The command line of a cluster worker; tsx, which would start Node as a child, becomes `--import`.

    The child would be outside of the cluster: the launcher has the channel, and takes it for its own.
    """
    named = app.argv[0] if os.path.basename(app.argv[0]) in _NAMES else None
    launcher, *script = app.argv if named is None else app.argv[1:] or app.argv
    launcher = _real(app, launcher)
    loader = os.path.join(os.path.dirname(launcher), "loader.mjs")
    is_tsx = os.path.basename(launcher) == "cli.mjs" and "tsx" in launcher.split(os.sep)
    is_there = is_tsx and (app.remote is not None or os.path.exists(loader))
    if not is_there or not script or not _is_script(script[0]):
        return app.argv
    from pathlib import Path  # noqa: PLC0415 (few apps are written in TypeScript)
    from shutil import which  # noqa: PLC0415

    node = named or which("node", path=app.env.get("PATH"))
    return app.argv if node is None else (node, "--import", Path(loader).as_uri(), *script)


def is_packaged(app: AppSpec) -> bool:
    """Whether its program is a tool from a package, which may start the app as a process of its own."""
    words = [word for word in app.argv[:_FIRST_WORDS] if not word.startswith("-")]
    return any(_PACKAGES in _real(app, word).split(os.sep) for word in words)


def _real(app: AppSpec, word: str) -> str:
    """What a word of its command line leads to."""
    if app.remote is not None:
        return app.remote.real.get(word, word)
    return os.path.realpath(os.path.join(app.cwd or os.curdir, word))


def is_launcher(app: AppSpec) -> bool:
    """Whether its program is known to start the app as a process of its own."""
    return any(os.path.basename(word) in _LAUNCHERS for word in app.argv[:_FIRST_WORDS])


def _is_script(word: str) -> bool:
    return not word.startswith("-") and os.path.splitext(word)[1] in _SCRIPTS


def preload_env(app: AppSpec, users: str, options: str) -> dict[str, str] | None:
    """Variables that bring the drain preload into a worker, with NODE_OPTIONS as the `users` wrote it.

    These come after `options` of ours, and win. Where Node's permission model is on, the files of the preload
    are allowed to be read.
    None where the app's user cannot read the file: Node refuses to start when a preload is unreadable.
    """
    if not readable_by(PRELOAD, app.uid, app.gid):
        return None
    words = [options, "--require", _quoted(PRELOAD), users]
    if any(word in _PERMISSION for word in (*app.argv, *users.split())):
        words.insert(1, f"--allow-fs-read={_quoted(os.path.dirname(PRELOAD) + os.sep)}")
    return {"NODE_OPTIONS": " ".join(filter(None, words)), "PIDONE_NODE_OPTIONS": users}


def _quoted(path: str) -> str:
    """As node_options.cc reads it, only where that has to be: Node 8 would not."""
    if _PLAIN.issuperset(path):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def interpreted_by(app: AppSpec) -> tuple[str, ...]:
    """The program, and what its first line names if that is a script's."""
    return (app.argv[0], *(shebang(app.argv[0]) if app.remote is None else app.remote.first_line))


def readable_by(path: str, uid: int | None, gid: int | None) -> bool:
    """Whether a user may read a file and pass every folder above it, by mode bits."""
    if uid is None:
        return os.access(path, os.R_OK)
    if uid == 0:
        return os.path.exists(path)
    folder = os.path.dirname(path)
    try:
        while folder != os.path.dirname(folder):
            if not _allows(folder, uid, gid, 0o1):
                return False
            folder = os.path.dirname(folder)
        return _allows(path, uid, gid, 0o4)
    except OSError:
        return False


def _allows(path: str, uid: int, gid: int | None, bit: int) -> bool:
    status = os.stat(path)
    if status.st_uid == uid:
        return bool(status.st_mode & bit << 6)
    if gid is not None and status.st_gid == gid:
        return bool(status.st_mode & bit << 3)
    return bool(status.st_mode & bit)
