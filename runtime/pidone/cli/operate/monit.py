"""`monit`: a full-screen live view, and keys to act; plain ANSI, so that it works over `docker exec -t`."""

import json
import os
import re
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
from pidone.logs.escape import printable_word
from pidone.record import Record

_REFRESH: Final[Seconds] = 1.0
_HISTORY: Final = 30
_BARS: Final = " ▁▂▃▄▅▆▇█"
_HELP: Final = (
    *("q quit  ", "↑↓ choose  ", "d details  ", "r reload  ", "R restart  ", "s stop  ", "S start  "),
    "+ - scale",
)
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The alternate screen, no cursor, and lines that are cut at the right edge, whatever is in them."""
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_KEYS: Final = {"\x1b[A": "up", "k": "up", "\x1b[B": "down", "j": "down", "q": "quit", "\x03": "quit"}
_KEY: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|.", re.DOTALL)
"""Keys as a terminal sends them, one after the other: several may arrive in one read."""


class _Action(Record):
    """What a key asks for."""

    verb: str
    body: dict[str, str] | None = None
    of_app: bool = False
    """Whether it is about all instances of what is marked."""
    asks: bool = False
    """Whether somebody may miss what it takes away."""


_ACTIONS: Final = {
    "r": _Action("reload", of_app=True),
    "R": _Action("restart", asks=True),
    "s": _Action("stop", asks=True),
    "S": _Action("start"),
    "+": _Action("scale", {"instances": "+1"}, of_app=True),
    "-": _Action("scale", {"instances": "-1"}, of_app=True, asks=True),
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
    with _full_screen() as read_keys:
        _live(runtime, view, read_keys)


def _print_lines(runtime: Client) -> None:
    while True:
        print(json.dumps({"timestamp": time.time(), **runtime.get("api", "apps")}), flush=True)
        time.sleep(_REFRESH)


def _live(runtime: Client, view: "View", read_keys: Callable[[Seconds], list[str]]) -> None:
    due = 0.0
    while True:
        if time.monotonic() >= due:
            view.update(harmless(runtime.get("api", "apps")["apps"]))
            view.details = _details(runtime, view.app) if view.details is not None else None
            due = time.monotonic() + _REFRESH
        width, height = shutil.get_terminal_size()
        sys.stdout.write(view.screen(width, height))
        sys.stdout.flush()
        for key in read_keys(max(0.0, due - time.monotonic())):
            action = _KEYS.get(key, key)
            if action == "quit":
                return
            if _press(runtime, view, action):
                due = 0.0


def _press(runtime: Client, view: "View", key: str) -> bool:
    """Do what a key asks for; whether everything has to be looked at anew."""
    if view.asked is not None:
        (action, target), view.asked = view.asked, None
        view.say("")
        if key == "y":
            _act(runtime, view, action, target)
        return True
    if key in ("up", "down"):
        view.move(-1 if key == "up" else 1)
        return view.details is not None
    if key == "d":
        view.details = [] if view.details is None else None
        return True
    if key not in _ACTIONS or view.app is None or view.instance is None:
        return False
    action = _ACTIONS[key]
    target = view.app if action.of_app else view.instance
    if action.asks:
        view.asked = action, target
        view.say(f"{_words(action, target)}? y does it, any other key does not")
    else:
        _act(runtime, view, action, target)
    return True


def _act(runtime: Client, view: "View", action: _Action, target: str) -> None:
    try:
        runtime.post("api", "apps", target, action.verb, body=action.body)
        view.say(_words(action, target))
    except CommandError as error:
        view.say(str(error))


def _words(action: _Action, target: str) -> str:
    """`stop api:1`, `scale api -1`."""
    name = target.removeprefix("default/")
    return " ".join((action.verb, name, *(action.body or {}).values()))


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
    return [line for app in shown["apps"] for line in description.summary(shown, app)]


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
        self.asked: tuple[_Action, str] | None = None
        """What waits for a yes."""

    @property
    def app(self) -> str | None:
        """The app under the cursor, as a target."""
        rows = self._rows()
        return f"{rows[self._row][0]['namespace']}/{rows[self._row][0]['name']}" if rows else None

    @property
    def instance(self) -> str | None:
        """The one instance under the cursor, as a target; the app where it has no other."""
        rows = self._rows()
        if not rows or rows[self._row][0]["scale"] == 1:
            return self.app
        return f"{self.app}:{rows[self._row][1]['index']}"

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
        self._said = printable_word(text)

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
        shown = max(1, height - 7)
        first = max(0, min(self._row - shown // 2, len(lines) - shown))
        lines = [f"\x1b[7m{line}\x1b[0m" if line.startswith(">") else line for line in lines]
        lines = [top, *lines[first : first + shown]]
        room = max(0, height - len(lines) - 4)
        below = list(self.lines)[-room:] if self.details is None else self.details[:room]
        tail = [printable_word(line)[:width] for line in below] if room else []
        body = [*lines, "─" * width, *tail, *[""] * (room - len(tail)), self._said[:width], _help(width)]
        return "\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in body[:height]) + "\x1b[J"

    def _rows(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [(app, instance) for app in self._apps for instance in app["instances"]]


def _help(width: int) -> str:
    """The keys, as many as there is room for."""
    shown = ""
    for part in _HELP:
        if len(shown) + len(part) > width:
            break
        shown += part
    return shown.rstrip()


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
    names = ("event", "message" if fields.get("message") else "msg")  # pino and bunyan call it so
    what = " ".join(str(fields[name]) for name in names if fields.get(name))
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

    def read_keys(timeout: Seconds) -> list[str]:
        ready, _, _ = select.select([fd], [], [], timeout)
        return _KEY.findall(os.read(fd, 1024).decode(errors="replace")) if ready else []

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(SIGNAL_BASE + number))
    try:
        tty.setraw(fd)
        sys.stdout.write(_ENTER)
        yield read_keys
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
