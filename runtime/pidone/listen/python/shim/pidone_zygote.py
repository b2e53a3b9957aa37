"""Imports an app once and forks its workers; the app's interpreter runs `pidone_zygote.py FD COMMAND...`.

The runtime speaks over a SEQPACKET socket at descriptor FD. First it says what to import, and hears whether
a fork of that can work. From then on each packet asks for a worker, and brings the socket by which the
runtime speaks with it: the zygote says there that it forks, and the worker its pid. Then the worker gets
one packet with descriptors: a file without a name that holds what it shall be as JSON (an environment may be
larger than a packet), and its own. What it cannot become it says there.

A worker is forked twice, so that its parent is gone and the runtime adopts it: there it is a child like any
other. Nobody waits for the process between, in which the app's hooks for forks run: those may take long.
COMMAND is what the worker runs, without the interpreter's own options; it stands here for `ps`, and
because a worker writes its own over it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, Callable

_DESCRIPTORS = socket.CMSG_SPACE(4 * 253)  # SCM_MAX_FD of linux/include/net/scm.h
_AGAIN_MS = 20
"""Until somebody who is to be buried is looked at again."""
_NAP_S, _LONGEST_NAP_S = 0.001, 0.05
_MOST_SHARED = 10
"""Of what is told; all has to fit into one packet."""


def main() -> None:
    """Be the zygote; and then, in each fork, a worker."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    import pidone_preload  # noqa: PLC0415 (a neighbour, wherever the interpreter looks by itself)
    import pidone_worker  # noqa: PLC0415

    sys.path.remove(here)
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    task = json.loads(channel.recv(65536))
    gc.disable()  # what a collection writes to would not be shared any more
    loaded = pidone_preload.load(task, sys.argv[2:])
    sys.stdout.flush()
    sys.stderr.flush()
    if loaded.why_not:
        channel.send(json.dumps({"refused": loaded.why_not}).encode())
        os._exit(0)
    gc.freeze()  # without a collection: workers would fill its holes, and share less
    channel.send(json.dumps({"modules": len(sys.modules), "shared": loaded.shared[:_MOST_SHARED]}).encode())
    request = _request(_serve(channel))
    pidone_worker.become(request, loaded)
    pidone_worker.run(request["words"], request["command"], loaded)


def _serve(channel: socket.socket) -> socket.socket:
    """Fork whoever is asked for. Returns in each worker; the zygote itself ends when the runtime lets go."""
    fork_silently = _silent_fork()
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    while True:
        if not poll.poll(_AGAIN_MS if _has_children() else None):
            continue
        data, received = _receive(channel)
        if not data:
            os._exit(0)  # what is registered by atexit is the workers' business
        if not received:  # it has no descriptor left for it
            continue
        own = socket.socket(fileno=received[0])
        try:
            own.send(b"forks", socket.MSG_NOSIGNAL)
            if fork_silently() == 0:
                channel.close()
                _fork_once_more(own)
                return own
        except OSError as error:  # also where nobody waits for it any more
            _say(own, _failed("fork", error))
        own.close()


def _has_children() -> bool:
    """Bury those between; whether one is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # also for a program that ignores SIGCHLD
        return False
    return True


def _fork_once_more(own: socket.socket) -> None:
    """In the process between: fork the worker and end. Returns in the worker, a child of the runtime's."""
    between = os.getpid()
    _end_with(own, between)
    try:
        worker = os.fork()
    except OSError as error:
        _say(own, _failed("fork", error))
        os._exit(1)
    if worker:
        _end_with(own, worker)
        os._exit(0)
    nap = _NAP_S
    while os.getppid() == between:
        time.sleep(nap)
        nap = min(2 * nap, _LONGEST_NAP_S)
    with contextlib.suppress(OSError):  # from now on it hears by itself what comes, and when nothing will
        fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) & ~os.O_ASYNC)


def _end_with(own: socket.socket, pid: int) -> None:
    """Let the kernel kill it when the runtime lets go of the socket: it may hang in a hook of the app's.

    Nothing else happens there before the worker has said who it is, and by then that is over (F_SETSIG).
    """
    try:
        fcntl.fcntl(own, fcntl.F_SETOWN, pid)
        fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
        if not own.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):  # before there was anybody to be killed
            os.kill(pid, signal.SIGKILL)
    except OSError:  # as it should be; or a sandbox knows no such thing
        return


def _request(own: socket.socket) -> dict[str, Any]:
    """Say who is there, and wait for what it shall be."""
    _say(own, b"%d" % os.getpid())
    data, received = _receive(own)
    if not data:  # the runtime does not want it any more, or has gone
        os._exit(0)
    with open(received[0], "rb") as file:
        file.seek(0)
        request: dict[str, Any] = json.loads(file.read())
    return {**request, "given": received[1:], "report": own.detach()}


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = channel.recvmsg(16, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    return data, [
        int.from_bytes(value[at : at + 4], sys.byteorder)
        for _, _, value in ancillary
        for at in range(0, len(value), 4)
    ]


def _say(own: socket.socket, what: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody waits for it any more
        own.send(what, socket.MSG_NOSIGNAL)


def _failed(step: str, error: OSError) -> bytes:
    return f"{error.errno or errno.EIO} {step}: {error.strerror}".encode(errors="replace")


def _silent_fork() -> Callable[[], int]:
    """A fork that runs nothing of os.register_at_fork: that is for workers, and once for each of them."""
    try:
        import ctypes  # noqa: PLC0415 (an interpreter may have been built without)

        own = ctypes.PyDLL(None, use_errno=True).fork  # keeps the interpreter's lock: there is one thread
    except (ImportError, AttributeError, OSError):
        return os.fork

    def fork() -> int:
        pid = int(own())
        if pid < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return pid

    return fork


if __name__ == "__main__":
    main()
