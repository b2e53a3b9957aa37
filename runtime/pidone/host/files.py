"""Reads the small files of /proc and cgroupfs, where anything may be missing, unreadable or nonsense."""

import os
from typing import TypeAlias

from pidone.descriptors import close

AnyPath: TypeAlias = str | os.PathLike[str]
"""Paths are plain text in this room: `pathlib` weighs 0.6 MB in the long-lived process."""
Notes: TypeAlias = list[str]
"""Why a file was ignored, one line each and each once, for whoever wants to log it."""


def read(path: AnyPath, notes: Notes | None = None) -> str | None:
    """The stripped text of a file, or None if it cannot be had.

    A missing file is normal (another kernel, a vanished process) and not noted; anything else is.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return None
    except OSError as error:
        note(notes, f"{path}: {error.strerror}")
        return None
    try:
        # open() would pull in a text layer and a buffer; these files are read hundreds of times a second.
        chunks = []
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
    except ProcessLookupError:  # the process vanished between open and read
        return None
    except OSError as error:  # ENODEV: the cgroup was removed; EISDIR, EIO
        note(notes, f"{path}: {error.strerror}")
        return None
    finally:
        close(fd)
    return b"".join(chunks).decode(errors="replace").strip()


def number(text: str | None, where: AnyPath = "", notes: Notes | None = None) -> int | None:
    """A decimal integer, or None (noted) for anything else; `None` stays None."""
    if text is None:
        return None
    # int() also takes "1_000", "+5" and other scripts' digits, none of which a kernel writes.
    if text.isascii() and text.removeprefix("-").isdigit():
        return int(text)
    note(notes, f"{where}: not a number: {text[:40]!r}")
    return None


def read_number(path: AnyPath, notes: Notes | None = None) -> int | None:
    """The one integer a file holds, or None."""
    return number(read(path, notes), path, notes)


def read_table(path: AnyPath, notes: Notes | None = None) -> dict[str, int]:
    """A "flat keyed" file (`name value` lines) as a dictionary; lines of any other shape are left out."""
    table: dict[str, int] = {}
    for line in (read(path, notes) or "").splitlines():
        name, _, value = line.partition(" ")
        if value.isascii() and value.isdigit():
            table[name] = int(value)
    return table


def note(notes: Notes | None, why: str) -> None:
    """Keep a reason, unless it is known: a file that is read each second must not fill memory with it."""
    if notes is not None and why not in notes:
        notes.append(why)
