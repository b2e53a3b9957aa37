"""An ecosystem file, the real `pidone` that runs it, and changes to both while it runs."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import DEADLINE_S, PIDONE, Running, eventually, opened

APPS = Path(__file__).parent / "apps"
UNHURRIED = {
    "settle_time": "100ms",
    "listen_timeout": 60_000,
    "reload_timeout": 120_000,
    "kill_timeout": 60_000,
}
"""A start or a stop that takes long on a busy machine is no failure where it is not what is tested; one that
never ends is, when the test's own patience does."""


def node_app(node: str, port: int, *, script: str = "web.cjs", **keys: Any) -> dict[str, Any]:
    """An unmodified Node program in cluster mode."""
    app = {"name": "web", "script": str(APPS / script), "interpreter": node, "exec_mode": "cluster"}
    return merged({**app, **UNHURRIED, "instances": 3, "env": {"PORT": str(port)}}, keys)


def python_app(*args: str, port: int, **keys: Any) -> dict[str, Any]:
    """A Python command line, in the folder of the test programs."""
    app = {"name": "web", "script": sys.executable, "interpreter": "none", "args": list(args)}
    common = {"cwd": str(APPS), "instances": 2, "env": {"PORT": str(port)}}
    return merged({**app, **UNHURRIED, **common}, keys)


def merged(app: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """`app` with other keys; variables are added to its own."""
    return {**app, **keys, "env": {**app["env"], **keys.get("env", {})}}


class Site:
    """Some apps under a running pidone. Changes are written to the file and announced by SIGHUP."""

    def __init__(self, folder: Path, *apps: dict[str, Any], prefix: Sequence[str] = ()) -> None:
        self.apps = {str(app["name"]): app for app in apps}
        self._file = folder / "ecosystem.json"
        self._write()
        self.run = Running([*prefix, PIDONE, str(self._file)])

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({"apps": list(self.apps.values())}))
        fresh.replace(self._file)  # a reading that is under way sees the old one or the new one

    def start(self) -> None:
        """Wait until every instance is online."""
        count = sum(app["instances"] for app in self.apps.values())
        self.run.expect(event="instance.online", count=count, timeout=count * DEADLINE_S)

    def change(self, name: str = "web", **keys: Any) -> None:
        """Give an app other keys, and have the file read again."""
        self.apps[name] = merged(self.apps[name], keys)
        self._write()
        self.run.signal(signal.SIGHUP)

    def rename(self, old: str, new: str, **keys: Any) -> None:
        """Call an app otherwise, in the same place of the file, and have that read again."""
        apps = {new if name == old else name: app for name, app in self.apps.items()}
        self.apps = {**apps, new: merged({**apps[new], "name": new}, keys)}
        self._write()
        self.run.signal(signal.SIGHUP)

    def reload(self, **keys: Any) -> dict[str, Any]:
        """Replace every process of `web` and wait for it; the record that says so."""
        done = self.count("app.reloaded")
        self.change(**{**keys, "env": {"GENERATION": str(done + 1), **keys.get("env", {})}})
        steps = 2 * self.apps["web"]["instances"]  # a start and a stop each, one after the other
        return self.run.expect(event="app.reloaded", count=done + 1, timeout=steps * DEADLINE_S)

    def count(self, event: str) -> int:
        """How often something was reported."""
        return len(self.run.find(event=event))

    def pids(self, name: str = "web") -> list[int]:
        """The processes that were started and have not ended."""
        ended = {record["pid"] for record in self.run.find(event="instance.exit", app=name)}
        started = [record["pid"] for record in self.run.find(event="instance.start", app=name)]
        return [pid for pid in started if pid not in ended]

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.run.signal(signal.SIGTERM)
        return self.run.wait()


@contextlib.contextmanager
def running(folder: Path, *apps: dict[str, Any], prefix: Sequence[str] = ()) -> Iterator[Site]:
    """A site whose apps are all online; it is stopped in order, and has to end with 0.

    `prefix` is what runs pidone, if something does.
    """
    site = Site(folder, *apps, prefix=prefix)
    with site.run:
        site.start()
        yield site
        assert site.stop() == 0, site.run.out and site.run.out.text()


def refused(folder: Path, *apps: dict[str, Any], prefix: Sequence[str] = ()) -> tuple[int, str, list[Any]]:
    """Exit code, stderr and records of a start that must not happen."""
    file = folder / "ecosystem.json"
    file.write_text(json.dumps({"apps": list(apps)}))
    with Running([*prefix, PIDONE, str(file)]) as run:
        code = run.wait()
        assert run.err is not None
        return code, run.err.text(), run.records


def get(port: int, path: str = "/", source: str | None = None) -> str:
    """The body of one answer, on a connection of its own."""
    from listen.fleet import fetch

    return asyncio.run(asyncio.wait_for(fetch(port, path, source=source), DEADLINE_S))


def queued(port: int) -> int:
    """Connections that wait to be accepted on a local TCP port: field 5 of /proc/net/tcp of a listener."""
    return sum(int(fields[4].partition(":")[2], 16) for fields in _sockets(port, state="0A"))


def listening(port: int) -> int:
    """How many sockets listen on a local TCP port."""
    return len(_sockets(port, state="0A"))


def connections(port: int, pid: int) -> int:
    """How many connections to a local TCP port a process has accepted and not closed."""
    accepted = {f"socket:[{fields[9]}]" for fields in _sockets(port)}
    held = opened(pid)
    return sum(target in accepted for target in held) - sum(
        f"socket:[{fields[9]}]" in held for fields in _sockets(port, state="0A")
    )


def _sockets(port: int, state: str = "") -> list[list[str]]:
    """Lines of /proc/net/tcp for a local port, in one state (0A: LISTEN) or all."""
    digits = f":{port:04X} "  # sought first: after much load the tables have thousands of lines
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if digits in line
    ]
    return [f for f in lines if digits[:-1] in f[1] and (not state or f[3] == state)]


def paused(pid: int) -> None:
    """Stop a process as a hang would."""
    from harness import state

    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state(pid) == "T", "the process to stop")
