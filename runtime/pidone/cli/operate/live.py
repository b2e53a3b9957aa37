"""What the runtime does not keep track of: files, sockets, threads and memory of each process of an instance.

Asked from the kernel by psutil, here in a command that lives for a moment: the supervisor's own figures come
from two reads per process and second, which psutil would make five times as dear.
"""

import os
import pwd
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import psutil

from pidone.cli.operate.client import Client
from pidone.control import peers
from pidone.masked_args import mask_args

T = TypeVar("T")

_MOST_FILES: Final = 100
"""Open files that are listed for one process."""


def sees_processes_of(runtime: Client) -> bool:
    """Whether the pids that the runtime tells mean the same processes here: both in one PID namespace.

    The kernel translates the pid of the peer into our namespace, or says 0.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(peers.address(runtime.path))
        pid = peers.of(probe).pid
    return bool(pid == runtime.get("api")["pid"])


def trees(pids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """Every process of the tree below each of `pids`, itself first; a root that has vanished has none."""
    found: dict[int, list[dict[str, Any]]] = {}
    for pid in pids:
        try:
            root = psutil.Process(pid)
            members = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            members = []
        found[pid] = [measured for member in members if (measured := measure(member)) is not None]
    return found


def measure(process: psutil.Process) -> dict[str, Any] | None:
    """One process; None if it is gone, and a null for what we may not look into."""
    try:
        with process.oneshot():
            memory = _allowed(process.memory_full_info)
            switches = _allowed(process.num_ctx_switches)
            io = _allowed(process.io_counters)
            sockets = _allowed(lambda: process.net_connections(kind="inet"))
            files = _allowed(process.open_files)
            command = _allowed(process.cmdline)
            uids = _allowed(process.uids)
            return {
                "pid": process.pid,
                "ppid": process.ppid(),
                "command": mask_args(tuple(command)) if command else [process.name()],
                "state": process.status(),
                "user": None if uids is None else user_name(uids.effective),
                "threads": _allowed(process.num_threads),
                "fds": _allowed(process.num_fds),
                "rss_bytes": process.memory_info().rss,
                "pss_bytes": None if memory is None else memory.pss,
                "uss_bytes": None if memory is None else memory.uss,
                "swap_bytes": None if memory is None else memory.swap,
                "switches": None if switches is None else [switches.voluntary, switches.involuntary],
                "read_bytes": None if io is None else io.read_chars,
                "written_bytes": None if io is None else io.write_chars,
                "files": None if files is None else sorted({each.path for each in files})[:_MOST_FILES],
                "listening": None if sockets is None else _listening(sockets),
                "connections": None if sockets is None else _connections(sockets),
            }
    except psutil.NoSuchProcess:
        return None


def user_name(uid: int) -> str:
    """As in /etc/passwd; containers often run as users that are not there."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _allowed(ask: Callable[[], T]) -> T | None:
    """The answer, or None where only the process's owner or root gets one."""
    try:
        return ask()
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return None
    except OSError as error:  # smaps of a kernel thread, a /proc that is mounted with hidepid
        if isinstance(error, FileNotFoundError | ProcessLookupError):
            raise psutil.NoSuchProcess(os.getpid()) from error
        return None


def _listening(sockets: Iterable[Any]) -> list[str]:
    """Where somebody may connect; a UDP socket has no state."""
    return sorted(
        {
            _address(each.laddr) + ("/udp" if each.type == socket.SOCK_DGRAM else "")
            for each in sockets
            if each.laddr and (each.status == psutil.CONN_LISTEN or each.type == socket.SOCK_DGRAM)
        }
    )


def _connections(sockets: Iterable[Any]) -> dict[str, int]:
    """How many TCP connections are in which state."""
    states: dict[str, int] = {}
    for each in sockets:
        if each.type == socket.SOCK_STREAM and each.status not in (psutil.CONN_LISTEN, psutil.CONN_NONE):
            states[each.status.lower()] = states.get(each.status.lower(), 0) + 1
    return dict(sorted(states.items()))


def _address(address: Any) -> str:
    return f"[{address.ip}]:{address.port}" if ":" in address.ip else f"{address.ip}:{address.port}"
