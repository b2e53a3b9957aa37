"""Surroundings that need no image: namespaces, mounts and rights in which the core suite is run.

Each is a shell script that `unshare` runs as root in a mount namespace of its own, and ends in `exec "$@"`.
"""

import os
import sys
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
NEW_PROC: Final = "mount -t proc proc /proc"
FOLDER: Final = (
    "mkdir -p /run/core && mount -t tmpfs -o mode=1777 tmpfs /run/core && export CORE_FOLDER=/run/core"
)
"""Where the suite writes, whatever else is taken away."""
READABLE: Final = """
keep() { mkdir -p "$T/$1" && mount --bind "$1" "$T/$1"; }
T=/run/core/root; mkdir -p $T; mount -t tmpfs -o mode=755 tmpfs $T
H=$(getent passwd 0 | cut -d: -f6)
for each in "$PYTHON_HOME" "$REPOSITORY"; do case $each in "$H"/*) keep "$each";; esac; done
if [ -d "$T/$H" ]; then mount --rbind "$T/$H" "$H"; fi
"""
"""Another user may not enter root's home, where the interpreter may be."""
NOBODY: Final = "exec setpriv --reuid 4242 --regid 4242 --clear-groups --bounding-set=-all --no-new-privs"

CELLS: Final[dict[str, str]] = {
    "as it is": 'exec "$@"',
    "no /proc": 'mount -t tmpfs tmpfs /proc && exec "$@"',
    "hidepid, another uid": f'mount -t proc -o hidepid=2 proc /proc && {READABLE} {NOBODY} -- "$@"',
    "read-only root": "mount --bind / /mnt && mount -o remount,ro,bind /mnt && cd /mnt && "
    "mount --rbind /proc proc && mount --rbind /dev dev && mount --rbind /run run && "
    'exec chroot /mnt "$@"',
    "no /tmp": 'for each in /tmp /var/tmp; do mount -t tmpfs -o ro,mode=555 tmpfs $each; done; exec "$@"',
    "no /dev/shm": 'mount -t tmpfs -o ro,mode=555 tmpfs /dev/shm && exec "$@"',
    "random uid, no rights": f'{READABLE} {NOBODY} -- "$@"',
    "user namespace": 'exec unshare --user --map-root-user --mount --pid --fork --mount-proc -- "$@"',
}


def command(cell: str, *suite: str) -> list[str]:
    """The command that runs the suite (`core.py PIDONE [CASE ...]`) there; needs root."""
    script = f"set -e; {NEW_PROC}; {FOLDER}; {CELLS[cell]}"
    python = [sys.executable, "-B", str(REPOSITORY / "tests/platforms/core.py")]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*namespaces, "sh", "-c", script, "cell", *python, *suite]


def environment() -> dict[str, str]:
    """What the scripts ask for."""
    return {**os.environ, "PYTHON_HOME": sys.base_prefix, "REPOSITORY": str(REPOSITORY)}
