"""`logs`: the last records, and with `-f` those to come."""

import json
import sys
from collections.abc import Callable

import click

from pidone.cli.operate.client import Client, CommandError
from pidone.cli.operate.suggestions import complete_apps
from pidone.cli.options import Argument, CommandSet, client, socket_option
from pidone.logs.escape import printable
from pidone.logs.formats.choice import wants_colour
from pidone.logs.formats.text import Console

app = CommandSet()


@app.command("logs")
@click.argument(
    "target",
    cls=Argument,
    metavar="[APP]",
    required=False,
    help="Only this app.",
    shell_complete=complete_apps,
)
@click.option("--app", "name", metavar="APP", help="The same.", shell_complete=complete_apps)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.option("--lines", "-n", metavar="N", type=int, default=100, help="The last N records.")
@click.option("--err", is_flag=True, help="Only stderr and the runtime's errors.")
@click.option("--since", metavar="TIME", default="", help="10m, 2h, or 2026-01-31T12:00:00Z.")
@socket_option
@click.option("--json", "as_json", is_flag=True, help="A JSON array of the records; with -f a line for each.")
def logs(
    target: str | None,
    *,
    name: str | None,
    follow: bool,
    lines: int,
    err: bool,
    since: str,
    socket: str | None,
    as_json: bool,
) -> None:
    """Print the last log records: for people on a terminal, else a JSON object per line.

    The runtime keeps 32 KiB per app, in memory.
    """
    query = {"lines": str(max(0, lines))}
    if chosen := name or target:
        query["app"] = chosen
    if err:
        query["err"] = "1"
    if since:
        query["since"] = since
    if follow:
        _follow(client(socket), query, as_json=as_json)
        return
    records = client(socket).get("api", "logs", **query)["records"]
    if as_json:
        print("[" + ", ".join(map(printable, records)) + "]")
        return
    show = _show()
    for record in records:
        print(show(record))


def _show() -> Callable[[str], str]:
    """How a record is shown on this stdout."""
    if not sys.stdout.isatty():
        return printable
    console = Console(colour=wants_colour(sys.stdout.fileno()))
    return lambda record: console.record(json.loads(record))


def _follow(runtime: Client, query: dict[str, str], *, as_json: bool) -> None:
    show = printable if as_json else _show()
    for event, data in runtime.stream("api", "logs", follow="1", **query):
        if event == "lost":
            raise CommandError("too slow: some records were lost")
        sys.stdout.write(show(data) + "\n")
        sys.stdout.flush()
