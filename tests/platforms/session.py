"""`make test-platforms`: the core suite in every surrounding that can be had here, and the table of it.

`python -m platforms.session [--list] [--case NAME]... [CELL]...` runs all cells, or these. A cell that cannot
be had is told as missing, with the reason, and is a row of the table like any other. The exit code is 1 if a
case failed.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from platforms import cells, machine, roots, table
from platforms.roots import CACHE, REPOSITORY, MissingError

Cell = Callable[[list[str]], Iterable[str]]
"""Runs the suite, or these cases of it, and gives its lines as they come."""
CORE: Final = REPOSITORY / "tests/platforms/core.py"
SLOW: Final = {"CORE_PATIENCE": "240", "PYTHONDONTWRITEBYTECODE": "1"}
"""An emulator is ten times as slow."""


def lines_of(command: list[str], environment: Mapping[str, str]) -> Iterator[str]:
    """What a command prints, line by line. Raises MissingError if that is nothing at all."""
    count = 0
    with subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        for line in running.stdout:
            count += 1
            yield line
        said = running.stderr.read().strip()
    if not count:
        raise MissingError(f"exit code {running.returncode}: {said[-300:]}")


def surrounding(name: str, names: list[str]) -> Iterator[str]:
    """Namespaces, mounts and rights on this machine."""
    roots.need_root()
    pidone = str(Path(sys.executable).with_name("pidone"))
    return lines_of(cells.command(name, pidone, *names), cells.environment())


def interpreter(version: str, names: list[str]) -> Iterator[str]:
    """Another Python, with the locked packages and today's pidone."""
    found = roots.python(version)
    pidone = roots.environment(found, version)
    return lines_of([str(pidone.with_name("python")), "-B", str(CORE), str(pidone), *names], {})


def debian(suite: str, architecture: str | None, names: list[str]) -> Iterator[str]:
    """A Debian of its own, perhaps of another architecture."""
    root = roots.debian(suite, architecture)
    command = roots.inside(root, "python3", "-B", "/src/platforms/core.py", "/opt/pidone/bin/pidone", *names)
    return lines_of(command, SLOW if architecture else {})


def bundled(names: list[str]) -> Iterator[str]:
    """Nothing but busybox and the bundle, whose own interpreter runs the suite."""
    root = roots.busybox(roots.bundle("bookworm"))
    return _bare(root, "/opt/pidone/libexec/python3", "/opt/pidone/bin/pidone", names)


def musl(names: list[str]) -> Iterator[str]:
    """Nothing but busybox and a Python that was built for musl, with its wheels."""
    root = roots.musl()
    return _bare(root, f"{CACHE}/venv-musl/bin/python", f"{CACHE}/venv-musl/bin/pidone", names)


def _bare(root: Path, python: str, pidone: str, names: list[str]) -> Iterator[str]:
    there = ["/bin/env", "PATH=/bin", "HOME=/root"]
    return lines_of(roots.inside(root, *there, python, "/src/platforms/core.py", pidone, *names), {})


def bundle(suite: str, architecture: str, names: list[str]) -> Iterator[str]:
    """The bundle of another architecture, made and run under emulation, twice with the same bytes."""
    first = digest(roots.bundle(suite, architecture))
    again = digest(roots.bundle(suite, architecture))
    same = {"ok": first == again, "why": "" if first == again else f"{first} and {again}"}
    yield json.dumps({"name": "reproducible", "seconds": 0, "degraded": [], **same})
    root = roots.debian(suite, architecture)
    command = roots.inside(
        root, "python3", "-B", "/src/platforms/core.py", "/out/opt/pidone/bin/pidone", *names
    )
    yield from lines_of(command, SLOW)


def digest(folder: Path) -> str:
    """Of all names, modes and contents."""
    script = 'tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$0" -cf - . | sha256sum'
    return roots.run("sh", "-c", script, str(folder)).split()[0]


def virtual(suite: str, names: list[str]) -> Iterator[str]:
    """A machine with that suite's kernel and a unified hierarchy."""
    return machine.boot(suite, names)


CELLS: Final[Mapping[str, Cell]] = {
    **{name: partial(surrounding, name) for name in cells.CELLS},
    **{f"Python {version}": partial(interpreter, version) for version in ("3.11", "3.12", "3.13")},
    "Debian 14 as it becomes, Python 3.14": partial(debian, "forky", None),
    "Debian 13, Python 3.13": partial(debian, "trixie", None),
    "arm64": partial(debian, "bookworm", "arm64"),
    "arm64 bundle": partial(bundle, "bookworm", "arm64"),
    "musl: busybox and the bundle": bundled,
    "musl: a Python built for it": musl,
    "Linux 5.4, cgroup v2": partial(virtual, "focal"),
    "Linux 5.10, cgroup v2": partial(virtual, "bullseye"),
    "Linux 6.1, cgroup v2": partial(virtual, "bookworm"),
    "Linux 6.12, cgroup v2": partial(virtual, "trixie"),
}


def play(name: str, cases: list[str]) -> table.Row:
    """One cell, told as it goes."""
    results: list[dict[str, Any]] = []
    missing = ""
    try:
        for line in CELLS[name](cases):
            record = json.loads(line)
            if "ok" in record:
                results.append(record)
                verdict = "ok" if record["ok"] else f"FAILED: {record['why']}"
                say(f"  {record['name']} {verdict} ({record['seconds']} s)")
    except MissingError as error:
        missing = str(error)
        say(f"  missing: {missing}")
    if not results and not missing:
        missing = "it ended without a result"
        say(f"  missing: {missing}")
    return table.Row(
        where=name,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        held=[each["name"] for each in results if each["ok"]],
        failed={each["name"]: each["why"] for each in results if not each["ok"]},
        degraded=sorted({told for each in results for told in each["degraded"]}),
        missing=missing,
    )


def say(text: str) -> None:
    """For whoever waits."""
    print(text, flush=True)  # noqa: T201 (a command)


def main(arguments: list[str]) -> int:
    """Run what is asked for, and write the table."""
    parser = argparse.ArgumentParser(prog="make test-platforms", description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="CELL")
    parser.add_argument("--list", action="store_true", help="name the cells")
    parser.add_argument("--case", action="append", default=[], help="run only this one of a cell")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.cells) - set(CELLS):
        parser.error(f"no such cell: {', '.join(sorted(unknown))}; --list names them")
    if chosen.list:
        say("\n".join(CELLS))
        return 0
    failed = 0
    for name in chosen.cells or CELLS:
        say(name)
        row = play(name, chosen.case)
        failed += len(row.failed)
        table.keep(row, CACHE / "results.json", whole=not chosen.case)  # at once: all of it takes an hour
        table.write(REPOSITORY / "docs/platforms.md", CACHE / "results.json", list(CELLS))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
