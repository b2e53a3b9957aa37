"""`logs`: the last records, and with `-f` those to come.

A pattern is tried here and not by the runtime: some take for ever on some lines, and process 1 has no time.
"""

import os
import re
import sys
from collections.abc import Callable
from typing import Final

import click

from pidone.bounded_search import BoundedSearch, SearchTooLongError
from pidone.cli.operate.client import Client, CommandError
from pidone.cli.operate.suggestions import complete_apps
from pidone.cli.operate.table import terminal_width
from pidone.cli.options import TARGETS, Argument, CommandSet, socket_option
from pidone.logs.escape import printable
from pidone.logs.fields import fields_of
from pidone.logs.formats.choice import wants_colour
from pidone.logs.formats.text import Console
from pidone.logs.levels import LEVELS

app = CommandSet()
_SHOWN: Final = 100
"""Characters of a record that a pattern takes too long on."""
_ALL: Final = 10_000
"""Records: more than the runtime keeps of an app, and as many as it gives."""


@app.command("logs")
@click.argument(
    "targets",
    cls=Argument,
    metavar="[TARGET]...",
    nargs=-1,
    help=f"Only these: {TARGETS}.",
    shell_complete=complete_apps,
)
@click.option("--app", "names", metavar="APP", multiple=True, help="The same.", shell_complete=complete_apps)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.option("--lines", "-n", metavar="N", type=int, default=100, help="The last N records.")
@click.option("--err", is_flag=True, help="Only stderr and the runtime's errors.")
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    help="This level and above.",
)
@click.option(
    "--grep",
    metavar="REGEX",
    default="",
    help="Only what it fits: message or fields; with -f, of the last N.",
)
@click.option("--since", metavar="TIME", default="", help="10m, 2h, or 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", default="", help="Likewise; not with -f.")
@click.option("--no-events", is_flag=True, help="Only what the apps say, not what happens to them.")
@socket_option
@click.option("--json", "as_json", is_flag=True, help="A JSON array of the records; with -f a line for each.")
def logs(
    targets: tuple[str, ...],
    *,
    names: tuple[str, ...],
    follow: bool,
    lines: int,
    err: bool,
    level: str | None,
    grep: str,
    since: str,
    until: str,
    no_events: bool,
    socket: str | None,
    as_json: bool,
) -> None:
    """Print the last log records: for people on a terminal, else a JSON object per line.

    The runtime keeps 32 KiB per app, in memory; what happens to an app stands among its lines.
    """
    if follow and until:
        raise click.UsageError("--until is about what was; -f about what comes")
    asked = {
        "lines": str(max(0, lines) if follow or not grep else _ALL),
        "app": ",".join((*targets, *names)),
        "err": "1" if err else "",
        "level": level or "",
        "since": since,
        "until": until,
        "events": "0" if no_events else "",
    }
    query = {name: value for name, value in asked.items() if value}
    fits = _fitting(grep)
    if follow:
        _follow(Client.find(socket), query, fits, as_json=as_json)
        return
    records = list(filter(fits, Client.find(socket).get("api", "logs", **query)["records"]))
    records = records[len(records) - min(max(0, lines), len(records)) :]
    if as_json:
        print("[" + ", ".join(map(printable, records)) + "]")
        return
    show = _show()
    for record in records:
        print(show(record))


def _fitting(pattern: str) -> Callable[[str], bool]:
    """What decides about a record. Raises CommandError."""
    try:
        search = re.compile(pattern).search
    except (re.error, OverflowError, RecursionError) as error:
        raise CommandError(f"--grep: expected a regular expression ({error})", os.EX_USAGE) from None

    def look(record: str) -> bool:
        return bool(search(str(fields_of(record).get("message", ""))) or search(record))

    bounded = BoundedSearch(lambda _: None)

    def fits(record: str) -> bool:
        try:
            return bounded.attempt(look, record)
        except SearchTooLongError:
            what = printable(record[:_SHOWN])
            raise CommandError(f"--grep: the pattern takes too long on {what}…", os.EX_USAGE) from None

    return fits if pattern else lambda _: True


def _show() -> Callable[[str], str]:
    """How a record is shown on this stdout."""
    if not sys.stdout.isatty():
        return printable
    width = terminal_width()
    console = Console(colour=wants_colour(sys.stdout.fileno()), width=width)

    def show(record: str) -> str:
        fields = fields_of(record)
        return console.record(fields) if fields else printable(record)

    return show


def _follow(runtime: Client, query: dict[str, str], fits: Callable[[str], bool], *, as_json: bool) -> None:
    show = printable if as_json else _show()
    for event, data in runtime.stream("api", "logs", follow="1", **query):
        if event == "lost":
            raise CommandError("too slow: some records were lost")
        if not fits(data):
            continue
        sys.stdout.write(show(data) + "\n")
        sys.stdout.flush()
