"""`python -m faults.chaos --seconds 120`: eight apps and a runtime that nothing spares, by a seed.

Apps and our own helpers are killed and held, a disk is full, nobody reads stdout, commands come in storms,
the file is read again. Afterwards nothing of it may be left: what is wished for is there, with as many
descriptors, processes and bytes as before, and every command was answered.
"""

import argparse
import contextlib
import ctypes
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import harness
from faults.played import PIDONE, _Unix

WARM_UP_S: Final = 15.0
WARM_UP_DEEDS: Final = 120
"""Of the same, before it is measured what there is: modules, rings of records, arenas."""
SETTLE_S: Final = 120.0
"""For whatever has to come at last: it only decides when that never does, so a slow machine has it."""
RSS_SLACK_KIB: Final = 2048
ROUNDS: Final = 5
"""More of the same, where much memory is held: what a busy machine let pile up once is free to be used, and
comes back while it is. What is lost never does."""
WAITED_FOR: Final = ("descriptors", "processes")
"""Memory does not come back while nothing happens."""
DISK_KIB: Final = 256
COUNTS: Final = {
    "quiet": 2,
    "chatty": 1,
    "crashing": 1,
    "cluster": 2,
    "hooked": 1,
    "watched": 1,
    "filed": 1,
    "slow": 1,
}
_APP: Final = """
import os, signal, sys, time
role = sys.argv[1]
def end(*_):
    time.sleep(0.3 if role == "slow" else 0)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
number = 0
while True:
    number += 1
    if role in ("chatty", "filed"):
        os.write(1, b"".join(b"line %d of many\\n" % each for each in range(50)))
    if role == "crashing" and number > 8:
        sys.exit(3)
    time.sleep(0.05)
"""


class Chaos:
    """One runtime, and what is done to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.socket = str(folder / "s")
        self.disk = folder / "disk"
        self.disk.mkdir()
        self.mounted = os.geteuid() == 0 and _mount(self.disk)
        (folder / "watched").mkdir()
        self.write()
        self.process = subprocess.Popen(
            [PIDONE, "--socket", self.socket, str(folder / "ecosystem.json")],
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr").open("wb"),
            stdin=subprocess.DEVNULL,
        )
        self.pid = self.process.pid
        self.may_read = threading.Event()
        self.may_read.set()
        self.done: Counter[str] = Counter()
        self.harm: list[str] = []
        self.held: set[int] = set()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def write(self) -> None:
        """The ecosystem; each time it means the same, and is another file."""
        script = self.folder / "app.py"
        script.write_text(_APP)

        def app(name: str, **keys: object) -> dict[str, object]:
            words = ["-I", "-S", str(script), name]
            own = {"max_restarts": 1_000_000, "restart_delay": 50, "ready_delay": 0, "kill_timeout": "60s"}
            args: dict[str, object] = {"script": sys.executable, "interpreter": "none", "args": words}
            return {"name": name, "instances": COUNTS[name], **args, **own, **keys}

        apps = [
            *(app(name) for name in ("quiet", "chatty", "crashing", "slow")),
            app("cluster", listen=[f"unix:{self.folder}/listen"]),
            app("hooked", post_start=["/bin/sleep", "0.2"]),
            app("watched", watch=[str(self.folder / "watched")]),
            app("filed", out_file=str(self.disk / "filed.log"), log_max_size="50k", log_keep=2),
        ]
        file = self.folder / "ecosystem.json"
        file.with_suffix(".new").write_text(
            json.dumps({"apps": apps, "runtime": {"shutdown_timeout": "100s"}})
        )
        file.with_suffix(".new").rename(file)

    # -- what is done ------------------------------------------------------------------------------

    def rage(self, seconds: float, deeds_at_least: int = 0) -> None:
        """Something by chance, again and again."""
        deeds: list[Callable[[], None]] = [
            *(self._kill_app, self._kill_app, self._hold, self._kill_helper, self._hold_helper),
            *(self._fill_disk, self._stall_stdout, self._storm, self._storm, self._reread, self._touch),
        ]
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(16) as self.pool:
            count = 0
            while (time.monotonic() < until or count < deeds_at_least) and self.process.poll() is None:
                count += 1
                deed = self.random.choice(deeds)
                self.done[deed.__name__.strip("_")] += 1
                deed()
                time.sleep(self.random.uniform(0.02, 0.2))
        self.relent()

    def relent(self) -> None:
        """Let go of all that is held, stalled or full."""
        self.may_read.set()
        for pid in self.held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.held.clear()
        (self.disk / "ballast").unlink(missing_ok=True)

    def _apps(self) -> list[int]:
        return [
            pid
            for pid in harness.children(self.pid)
            if str(self.folder / "app.py") in harness.command_of(pid)
        ]

    def _is_there(self, role: str) -> bool:
        return any(harness.command_of(pid).endswith(role) for pid in self._apps())

    def _helpers(self) -> list[int]:
        return [pid for pid in harness.children(self.pid) if pid not in self._apps()]

    def _signal_one(self, pids: list[int], number: int) -> int | None:
        if not pids:
            return None
        pid = self.random.choice(pids)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def _kill_app(self) -> None:
        self._signal_one(self._apps(), signal.SIGKILL)

    def _kill_helper(self) -> None:
        self._signal_one(self._helpers(), signal.SIGKILL)

    def _hold(self) -> None:
        self._hold_one(self._apps())

    def _hold_helper(self) -> None:
        self._hold_one(self._helpers())

    def _hold_one(self, pids: list[int]) -> None:
        pid = self._signal_one(pids, signal.SIGSTOP)
        if pid is not None:
            self.held.add(pid)
            self._later(self.random.uniform(0.1, 1.5), lambda: self._let_go(pid))

    def _let_go(self, pid: int) -> None:
        self.held.discard(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def _fill_disk(self) -> None:
        if self.mounted:
            with contextlib.suppress(OSError), (self.disk / "ballast").open("wb") as file:
                file.write(bytes(DISK_KIB * 1024))
            self._later(1.0, lambda: (self.disk / "ballast").unlink(missing_ok=True))

    def _stall_stdout(self) -> None:
        self.may_read.clear()
        self._later(self.random.uniform(0.2, 2.0), self.may_read.set)

    def _reread(self) -> None:
        self.write()
        os.kill(self.pid, signal.SIGHUP)

    def _touch(self) -> None:
        (self.folder / "watched" / f"{self.random.randrange(9)}").write_text("changed")

    def _storm(self) -> None:
        name = self.random.choice(list(COUNTS))
        commands: list[tuple[str, str, object]] = [
            ("GET", "/api/apps", None),
            ("GET", f"/api/apps/{name}", None),
            ("GET", "/metrics", None),
            ("GET", "/api/logs?lines=50", None),
            ("POST", f"/api/apps/{name}/restart", None),
            ("POST", f"/api/apps/{name}/reload", None),
            ("POST", f"/api/apps/{name}/scale", {"instances": self.random.randint(1, 3)}),
            ("POST", "/api/logs/reopen", None),
        ]
        for _ in range(self.random.randint(1, 12)):
            self.pool.submit(self.ask, *self.random.choice(commands))

    @staticmethod
    def _later(delay: float, what: Callable[[], object]) -> None:
        timer = threading.Timer(delay, what)
        timer.daemon = True
        timer.start()

    # -- what is seen ------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Whatever the answer is, there has to be one."""
        connection = _Unix(self.socket, SETTLE_S)
        self.done["commands"] += 1
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 500 and answer.status != 503:
                self.harm.append(f"{method} {path}: {answer.status} {text[:200]!r}")
            return json.loads(text) if text[:1] in (b"{", b"[") else None
        except (OSError, http.client.HTTPException) as error:
            self.harm.append(f"{method} {path} was not answered: {type(error).__name__} {error}")
        finally:
            connection.close()

    def settle(self, most: dict[str, int] | None = None) -> dict[str, int]:
        """Wish for the first numbers again, wait until they are there, and count what it takes.

        A helper that was killed comes back after a pause, and one may just be at work: what stays for good is
        not below `most`, however long one waits. Of memory, the most that is seen before counts.
        """
        for name, count in COUNTS.items():
            self.ask("POST", f"/api/apps/{name}/scale", {"instances": count})
        self._eventually(self._is_as_wished, "what is wished for")
        self.ask("POST", "/api/apps/crashing/stop")  # it comes and goes, and would be counted by chance
        self._eventually(lambda: not self._is_there("crashing"), "the end of the one that crashes")
        self._eventually(lambda: not self._zombies(), "every zombie to be buried")
        self._eventually(self._is_watched, "the watcher of files")
        self._eventually(self._is_guarded, "the guard")
        sizes: list[dict[str, int]] = []
        until = time.monotonic() + SETTLE_S
        while len(sizes) < 6 or (most and time.monotonic() < until):
            time.sleep(1.0)
            sizes.append(self._size())
            if most and all(min(size[key] for size in sizes) <= most[key] for key in WAITED_FOR):
                break
        self.ask("POST", "/api/apps/crashing/start")
        least = {key: min(size[key] for size in sizes) for key in sizes[0]}
        return least if most else {**least, "rss_kib": max(size["rss_kib"] for size in sizes)}

    def _is_watched(self) -> bool:
        return any(f'{self.folder}/watched"' in harness.command_of(pid) for pid in self._helpers())

    def _is_guarded(self) -> bool:
        """By a fork of the runtime that leads a session: who reads a file or packs a log does not."""
        own = harness.command_of(self.pid)
        with contextlib.suppress(ProcessLookupError):
            return any(os.getsid(pid) == pid and harness.command_of(pid) == own for pid in self._helpers())
        return False

    def _is_as_wished(self) -> bool:
        told = self.ask("GET", "/api/apps") or {"apps": []}
        apps = {app["name"]: app["instances"] for app in told["apps"]}
        return all(
            len(apps.get(name, ())) == count
            and all(each["state"] == "online" or name == "crashing" for each in apps[name])
            and all(harness.alive(each["pid"]) for each in apps[name] if each["pid"] and name != "crashing")
            for name, count in COUNTS.items()
        )

    def _zombies(self) -> list[int]:
        return [pid for pid in harness.children(self.pid) if harness.state(pid) == "Z"]

    def _size(self) -> dict[str, int]:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return {
            "descriptors": len(os.listdir(f"/proc/{self.pid}/fd")),
            "processes": len(harness.descendants(self.pid)),
            "rss_kib": int(status.split("VmRSS:")[1].split()[0]),
        }

    def _eventually(self, look: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + SETTLE_S
        while not look():
            if time.monotonic() > until:
                self.harm.append(f"not within {SETTLE_S:g} s: {what}: {self.ask('GET', '/api/apps')}")
                return
            time.sleep(0.2)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.may_read.wait()
            try:
                record = json.loads(line)
            except ValueError:
                self.harm.append(f"a broken record: {line[:200]!r}")
                continue
            if record.get("event") in ("runtime.error", "runtime.refused"):
                self.harm.append(f"{record['event']}: {record['message']}\n{record.get('exc_info', '')}")

    def end(self) -> None:
        """SIGTERM: the code is 0, and nobody is left."""
        family = harness.descendants(self.pid)
        self.process.terminate()
        try:
            code = self.process.wait(SETTLE_S)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            self.harm.append(f"ended with {code}")
        self.reader.join(SETTLE_S)
        left = [harness.command_of(pid) for pid in family if harness.alive(pid)]
        self.harm += [f"left running: {command}" for command in left]
        if text := (self.folder / "stderr").read_text():
            self.harm.append(f"on stderr: {text}")

    def give_up(self) -> None:
        """Nothing of it stays, whatever has happened."""
        self.relent()
        family = [self.pid, *harness.descendants(self.pid)] if self.process.poll() is None else []
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self.mounted:
            ctypes.CDLL(None).umount2(os.fsencode(self.disk), 2)  # MNT_DETACH


@contextlib.contextmanager
def chaos(seed: int) -> Iterator[Chaos]:
    """A runtime for it."""
    with tempfile.TemporaryDirectory(prefix="pidone-chaos-") as folder:
        it = Chaos(Path(folder), seed)
        try:
            harness.eventually(Path(it.socket).exists, "the control socket")
            yield it
        finally:
            it.give_up()


def _mount(folder: Path) -> bool:
    """A disk that is soon full: mount(2) of a tmpfs."""
    options = f"size={DISK_KIB}k".encode()
    done: int = ctypes.CDLL(None).mount(b"none", os.fsencode(folder), b"tmpfs", 0, options)
    return done == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    told = parser.parse_args()
    harness.become_subreaper()
    print(f"seed {told.seed}", flush=True)
    with chaos(told.seed) as it:
        it.rage(WARM_UP_S, WARM_UP_DEEDS)
        before = it.settle()
        it.rage(told.seconds)
        most = {**before, "rss_kib": before["rss_kib"] + RSS_SLACK_KIB}
        after = it.settle(most)
        for _ in range(ROUNDS):
            if after["rss_kib"] <= most["rss_kib"]:
                break
            it.rage(WARM_UP_S, WARM_UP_DEEDS)
            after = it.settle(most)
        it.end()
        harm = it.harm
    for name in before:
        if after[name] > most[name]:
            harm.append(f"{name}: {before[name]} before, {after[name]} after")
    print(", ".join(f"{count} {name}" for name, count in sorted(it.done.items())))
    print(f"before {before}, after {after}")
    print("\n".join(harm) or "nothing is left of it")
    print(f"chaos: failed; --seed {told.seed} does the same again" if harm else "chaos: passed", flush=True)
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main())
