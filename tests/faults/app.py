"""What the runtime keeps up while calls fail: python app.py ROLE JOURNAL [NUMBER].

Each writes down itself when it can be asked to stop, and when it was: that is judged, whatever arrives
at the runtime's stdout.
"""

import os
import signal
import socket
import sys
import time

ROLE, JOURNAL = (*sys.argv[1:3], "", "")[:2]
FLOOD = 2000


def note(what: str) -> None:
    """One line, in one write."""
    fd = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{ROLE} {os.getpid()} {what}\n".encode())
    os.close(fd)


def asked_to_stop(number: int, frame: object) -> None:
    """It says so both to the journal and to its log."""
    del number, frame
    note("TERM")
    os.write(1, b"heard TERM\n")
    os._exit(0)


def main() -> None:
    signal.signal(signal.SIGTERM, asked_to_stop)
    note("start")
    if ROLE == "flood":
        for first in range(0, FLOOD, 100):
            os.write(1, "".join(f"flood {number}\n" for number in range(first, first + 100)).encode())
        note("flooded")
    elif ROLE == "told":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
            manager.send(b"READY=1\nSTATUS=at work")
    else:
        os.write(1, b"up\n")
    while True:
        time.sleep(0.05)  # a signal just before a system call is seen after it


if __name__ == "__main__":
    main()
