"""Files of /proc are read by the calls themselves, so that whatever the kernel answers is an OSError."""

import errno
import os
import re
from pathlib import Path

import pytest

import pidone
from pidone import procfs
from pidone.demand import demand
from pidone.init import proctree

RUNTIME = Path(pidone.__file__).parent
ROOMS = (
    "control",
    "ecosystem/rights.py",
    "host",
    "init",
    "listen",
    "supervise",
    "demand.py",
    "capabilities.py",
)
"""What runs in the runtime's own process; commands and helpers end by themselves."""
BY_PYTHON = re.compile(r"""(?<!os\.)\bopen\(f?"/proc|Path\(f?"/proc[^)]*\)\.read_""")


def test_it_is_read_whole_and_not_beyond_its_limit(tmp_path: Path) -> None:
    """In parts, as the kernel gives them."""
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    assert procfs.read_bytes(str(file)) == file.read_bytes()
    assert procfs.read_bytes(str(file), 70_000) == file.read_bytes()[:70_000]
    assert procfs.read_text(str(file)).encode("latin-1") == file.read_bytes()
    with pytest.raises(FileNotFoundError):
        procfs.read_text(str(tmp_path / "none"))


def test_eagain_is_an_error_as_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which Python's file objects make None of, and then a TypeError."""

    def refuse(_descriptor: int, _most: int) -> bytes:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", refuse)
        with pytest.raises(OSError, match="temporarily"):
            procfs.read_text("/proc/self/stat")
        with pytest.raises(OSError, match="temporarily"):
            proctree.children(os.getpid())
        assert demand([os.getpid()]).had == 0
    assert len(os.listdir("/proc/self/fd")) == before


def test_nobody_reads_them_otherwise() -> None:
    """In the rooms of process 1; shims run in apps."""
    files = [
        file
        for room in ROOMS
        for file in ([RUNTIME / room] if room.endswith(".py") else (RUNTIME / room).rglob("*.py"))
        if "shim" not in file.parts
    ]
    assert len(files) > 100
    found = {
        f"{file.relative_to(RUNTIME)}: {line.strip()}"
        for file in files
        for line in file.read_text().splitlines()
        if BY_PYTHON.search(line) and '"w' not in line
    }
    assert not found
