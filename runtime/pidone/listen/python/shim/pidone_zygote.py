"""Imports an app once and forks its workers; the app's interpreter runs `pidone_zygote.py FD COMMAND...`.

The runtime speaks over a SEQPACKET socket at descriptor FD. First it says what to import, and hears whether
a fork of that can work. Then it asks now and then whether somebody is there (`ping`), and each request is one
packet with descriptors: a file without a name that holds
the request as JSON (an environment may be larger than a packet), a pipe in which the runtime says that the
worker may go, and the worker's own.

A worker is forked twice, so that its parent is gone and the runtime adopts it: there it is a child like any
other. COMMAND is what the worker runs, without the interpreter's own options; it stands here for `ps`, and
because a worker writes its own over it.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import socket
import sys
from typing import Any, Callable

_DESCRIPTORS = socket.CMSG_SPACE(4 * 253)  # SCM_MAX_FD of linux/include/net/scm.h
_REPORT_BYTES = 4096
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
    request = _serve(channel)
    channel.close()
    pidone_worker.become(request, loaded)
    pidone_worker.run(request["words"], request["command"], loaded)


def _serve(channel: socket.socket) -> dict[str, Any]:
    """Fork whoever is asked for. Returns in each worker; the zygote itself ends when the runtime lets go."""
    fork_silently = _silent_fork()
    while True:
        data, ancillary, _, _ = channel.recvmsg(16, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not data:
            os._exit(0)  # what is registered by atexit is the workers' business
        if data == b"ping":
            channel.send(b"pong")
            continue
        received = [
            int.from_bytes(value[at : at + 4], sys.byteorder)
            for _, _, value in ancillary
            for at in range(0, len(value), 4)
        ]
        reader, writer = os.pipe()
        report = b""
        try:
            if fork_silently() == 0:
                _fork_once_more(writer)
                os.close(reader)
                return {**_read(received[0]), "go": received[1], "given": received[2:], "report": writer}
        except OSError as error:
            report = _failed("fork", error)
        for number in (writer, *received):
            os.close(number)
        report = report or _answer_of_worker(reader)
        os.close(reader)
        channel.send(report)


def _fork_once_more(report: int) -> None:
    """In the process between: fork the worker and end. Returns in the worker alone."""
    try:
        worker = os.fork()
    except OSError as error:
        os.write(report, _failed("fork", error))
        os._exit(1)
    if worker:
        os._exit(0)


def _answer_of_worker(reader: int) -> bytes:
    """Its pid, or what has failed, once the process between has ended and the worker is the runtime's."""
    with contextlib.suppress(ChildProcessError):  # a program that ignores SIGCHLD buries nobody
        os.wait()
    report = b""
    while piece := os.read(reader, _REPORT_BYTES):
        report += piece
    return report or b"%d fork: the worker ended before it began" % errno.ECHILD


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


def _read(descriptor: int) -> dict[str, Any]:
    with open(descriptor, "rb") as file:
        file.seek(0)
        request: dict[str, Any] = json.loads(file.read())
    return request


if __name__ == "__main__":
    main()
