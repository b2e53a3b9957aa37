"""`monit`: a full-screen live view, and keys to act; plain ANSI, so that it works over `docker exec -t`."""

import json
import os
import select
import shutil
import signal
import sys
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from pidone.cli.operate import description, table
from pidone.cli.operate.client import Client, CommandError
from pidone.cli.operate.table import harmless
from pidone.cli.options import CommandSet, client, socket_option
from pidone.ecosystem.spec import Seconds
from pidone.init.exitcodes import SIGNAL_BASE
from pidone.logs.escape import printable, printable_word

_REFRESH: Final[Seconds] = 1.0
_HISTORY: Final = 30
_BARS: Final = " ▁▂▃▄▅▆▇█"
_HELP: Final = "↑↓ choose   d details   r reload   R restart   s stop   S start   + - scale   q quit"
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The alternate screen, no cursor, and lines that are cut at the right edge, whatever is in them."""
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_KEYS: Final = {"\x1b[A": "up", "k": "up", "\x1b[B": "down", "j": "down", "q": "quit", "\x03": "quit"}
_VERBS: Final[dict[str, tuple[str, dict[str, str] | None]]] = {
    "r": ("reload", None),
    "R": ("restart", None),
    "s": ("stop", None),
    "S": ("start", None),
    "+": ("scale", {"instances": "+1"}),
    "-": ("scale", {"instances": "-1"}),
}


app = CommandSet()


@app.command("monit")
@socket_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON each second instead.")
def monit(*, socket: str | None, as_json: bool) -> None:
    """Watch everything live."""
    runtime = client(socket)
    if as_json:
        _print_lines(runtime)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("monit needs a terminal (docker exec -it), or --json")
    view = View()
    threading.Thread(target=_follow, args=(runtime, view), daemon=True).start()
    with _full_screen() as read_key:
        _live(runtime, view, read_key)


def _print_lines(runtime: Client) -> None:
    while True:
        print(json.dumps({"timestamp": time.time(), **runtime.get("api", "apps")}), flush=True)
        time.sleep(_REFRESH)


def _live(runtime: Client, view: "View", read_key: Callable[[Seconds], str]) -> None:
    due = 0.0
    while True:
        if time.monotonic() >= due:
            view.update(harmless(runtime.get("api", "apps")["apps"]))
            view.details = _details(runtime, view.chosen) if view.details is not None else None
            due = time.monotonic() + _REFRESH
        width, height = shutil.get_terminal_size()
        sys.stdout.write(view.screen(width, height))
        sys.stdout.flush()
        key = read_key(max(0.0, due - time.monotonic()))
        action = _KEYS.get(key, key)
        if action == "quit":
            return
        if action in ("up", "down"):
            view.move(-1 if action == "up" else 1)
            due = 0.0 if view.details is not None else due
        elif action == "d":
            view.details = [] if view.details is None else None
            due = 0.0
        elif action in _VERBS and view.chosen is not None:
            verb, body = _VERBS[action]
            try:
                runtime.post("api", "apps", view.chosen, verb, body=body)
                view.say(f"{verb} {view.chosen}")
            except CommandError as error:
                view.say(str(error))
            due = 0.0


def _details(runtime: Client, chosen: str | None) -> list[str]:
    """What `describe --live` says of the app under the cursor, as far as it can be seen from here."""
    from pidone.cli.operate.live import sees_processes_of

    if chosen is None:
        return []
    try:
        shown = description.ask(runtime, chosen, live=sees_processes_of(runtime))
    except CommandError:  # it was deleted a moment ago
        return []
    shown = harmless(shown)
    return [line for app in shown["apps"] for line in description.render(shown, app).split("\n")]


class View:
    """What is on the screen."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.lines: deque[str] = deque(maxlen=200)
        self.details: list[str] | None = None
        """Shown in the place of the log lines if they are wanted."""
        self._apps: list[dict[str, Any]] = []
        self._cpu: dict[int, deque[float]] = {}
        self._row = 0
        self._said = ""

    @property
    def chosen(self) -> str | None:
        """The app under the cursor, as a target."""
        rows = self._rows()
        return f"{rows[self._row][0]['namespace']}/{rows[self._row][0]['name']}" if rows else None

    def update(self, apps: list[dict[str, Any]]) -> None:
        """New figures."""
        self._apps = apps
        for app in apps:
            for instance in app["instances"]:
                history = self._cpu.setdefault(instance["id"], deque(maxlen=_HISTORY))
                history.append(instance["cpu_percent"] or 0.0)
        self.move(0)

    def move(self, step: int) -> None:
        """Choose another row."""
        self._row = max(0, min(len(self._rows()) - 1, self._row + step))

    def say(self, text: str) -> None:
        """Show what became of a key."""
        self._said = printable(text)

    def screen(self, width: int, height: int) -> str:
        """The whole screen, from its top left corner on."""
        head = ("", "name", "state", "pid", "restarts", "uptime", "cpu", "memory", "")
        rows = [
            (
                ">" if number == self._row else " ",
                app["name"] if app["scale"] == 1 else f"{app['name']}:{instance['index']}",
                instance["state"],
                str(instance["pid"] or "-"),
                str(instance["restarts"]),
                table.duration(instance["uptime_s"]),
                f"{instance['cpu_percent'] or 0:.0f}%",
                table.size(instance["memory_bytes"]),
                sparkline(self._cpu.get(instance["id"], ())),
            )
            for number, (app, instance) in enumerate(self._rows())
        ]
        top, *lines = table.render(head, rows, right=(3, 4, 5, 6, 7)).split("\n")
        shown = max(1, height - 6)
        first = max(0, min(self._row - shown // 2, len(lines) - shown))
        lines = [f"\x1b[7m{line}\x1b[0m" if line.startswith(">") else line for line in lines]
        lines = [top, *lines[first : first + shown]]
        room = max(0, height - len(lines) - 3)
        below = list(self.lines)[-room:] if self.details is None else self.details[:room]
        tail = [printable_word(line)[:width] for line in below] if room else []
        body = [*lines, "─" * width, *tail, *[""] * (room - len(tail)), f"{_HELP}   {self._said}"[:width]]
        return "\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in body[:height]) + "\x1b[J"

    def _rows(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [(app, instance) for app in self._apps for instance in app["instances"]]


def sparkline(values: Sequence[float] | deque[float]) -> str:
    """A row of bars; the full height is the largest value, but at least one whole CPU."""
    top = max(100.0, *values) if values else 100.0
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] for value in values)


def readable(record: str) -> str:
    """A record with what matters first."""
    fields = json.loads(record)
    at = str(fields["timestamp"])[11:19]
    who = fields.get("app", "pidone")
    if "instance" in fields:
        who = f"{who}:{fields['instance']}"
    what = " ".join(str(fields[name]) for name in ("event", "message") if fields.get(name))
    return f"{at} {who} {'!' if fields.get('level') in ('error', 'fatal') else '|'} {what or record}"


def _follow(runtime: Client, view: View) -> None:
    try:
        for _, data in runtime.stream("api", "logs", follow="1", lines="50"):
            view.lines.append(readable(data))
    except CommandError as error:
        view.say(str(error))


@contextmanager
def _full_screen() -> Any:
    """The alternate screen and single keys; everything as it was afterwards, whatever happens."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def read_key(timeout: Seconds) -> str:
        ready, _, _ = select.select([fd], [], [], timeout)
        return os.read(fd, 16).decode(errors="replace") if ready else ""

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(SIGNAL_BASE + number))
    try:
        tty.setraw(fd)
        sys.stdout.write(_ENTER)
        yield read_key
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
