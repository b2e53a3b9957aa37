"""What the process that imports an app for all its workers (`preload`) says of the import."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE_S

from pidone.listen.python.share import SHIM

REFUSED = {
    "import threading as t; t.Thread(target=t.Event().wait, name='pool', daemon=True).start()": (
        "has started 1 thread (pool)"
    ),
    "import socket; s = socket.create_server(('127.0.0.1', 0))": "listens on ('127.0.0.1'",
    "import socket; a, b = socket.socketpair()": "is connected to",
    "import selectors; s = selectors.EpollSelector()": "has made an event loop",
    "import os; INDEX = os.environ.get('NODE_APP_INSTANCE', 0)": "reads NODE_APP_INSTANCE",
    "import os; ALL = dict(os.environ)": "reads PORT",
    "import subprocess; p = subprocess.Popen(['cat'], stdin=subprocess.PIPE)": "has started 1 processes",
    "exit(3)": "ended the program (3)",
    "1 / 0": "ZeroDivisionError",
    "del main": "has no main",
}
FINE = {
    "import threading, time; threading.Thread(target=time.sleep, args=(0.1,)).start()",
    "import os; HOME = os.environ.get('HOME'); LOG = open(os.devnull)",
    "import logging; logging.basicConfig(); logging.warning('told')",
    "import random, ssl, asyncio; print('told')",
}
SHARED = {
    "import sqlite3; db = sqlite3.connect('a.db'); db.execute('create table t (a)'); db.commit()": (
        "the SQLite database {folder}/a.db"
    ),
    "import sqlite3; db = sqlite3.connect('a.db'); db.execute('pragma journal_mode = wal'); "
    "db.execute('create table t (a)'); db.commit()": "the SQLite database {folder}/a.db",
    "import sqlite3; db = sqlite3.connect('a.db')": "{folder}/a.db, open for writing",
    "file = open('state', 'w')": "{folder}/state, open for writing",
    "import os; ends = os.pipe()": "a pipe",
    "import ctypes; watch = ctypes.CDLL(None).inotify_init()": "a watch on files",
}
NOT_SHARED = {
    "import logging; logging.basicConfig(filename='a.log'); logging.warning('told')",
    "import mmap; file = open(__file__); data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)",
    "import os; memory = os.memfd_create('shared'); NULL = open(os.devnull, 'w')",
    "import socket; statsd = socket.socket(type=socket.SOCK_DGRAM); statsd.connect(('127.0.0.1', 8125))",
    "import sqlite3; db = sqlite3.connect('a.db'); db.execute('create table t (a)'); db.close()",
    "import sqlite3; db = sqlite3.connect(':memory:'); db.execute('create table t (a)')",
}


def answer(folder: Path, line: str) -> dict[str, Any]:
    """What the zygote says of a module with this line."""
    (folder / "module.py").write_text(f"def main(): ...\n{line}\n")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    hidden = ["NODE_APP_INSTANCE", "PORT"]
    task = {
        "target": "module:main",
        "also": ["no_such"],
        "late": {},
        "path": [],
        "hidden": hidden,
        "listed": ["PORT"],
    }
    ours.send(json.dumps({**task, "listed": ["PORT"], "reserve": 10}).encode())
    script = str(Path(SHIM, "pidone_zygote.py"))
    argv = [sys.executable, script, str(theirs.fileno()), "-m", "module"]
    with (
        ours,
        subprocess.Popen(
            argv,
            cwd=folder,
            process_group=0,
            pass_fds=[theirs.fileno()],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ) as zygote,
    ):
        theirs.close()
        ours.settimeout(DEADLINE_S)
        found: dict[str, Any] = json.loads(ours.recv(65536))
        ours.close()  # it has nothing to do any more, and ends
        assert zygote.wait(DEADLINE_S) == 0
    with contextlib.suppress(ChildProcessError):  # what the import has started is ours now
        os.waitpid(-zygote.pid, 0)
    return found


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_forked_is_refused(tmp_path: Path, line: str) -> None:
    """In the words of who has to mend it."""
    assert REFUSED[line] in answer(tmp_path, line)["refused"]


@pytest.mark.parametrize("line", sorted(FINE))
def test_what_can_be_forked(tmp_path: Path, line: str) -> None:
    """Files, finished threads and what was printed are no reason."""
    assert answer(tmp_path, line)["modules"] > 10


@pytest.mark.parametrize("line", SHARED)
def test_what_workers_have_in_common_is_told(tmp_path: Path, line: str) -> None:
    """A fork of it works, but hardly as the app means it."""
    assert set(answer(tmp_path, line)["shared"]) == {SHARED[line].format(folder=tmp_path)}


@pytest.mark.parametrize("line", sorted(NOT_SHARED))
def test_what_is_made_for_it_is_not_told(tmp_path: Path, line: str) -> None:
    """Logs, what is only read, shared memory, and what is open no more."""
    assert answer(tmp_path, line)["shared"] == []
