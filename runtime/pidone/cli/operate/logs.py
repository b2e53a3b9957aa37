"""`logs`: the last records, and with `-f` those to come."""

import json
import sys

import click

from pidone.cli.operate.client import Client, CommandError
from pidone.cli.operate.suggestions import complete_apps
from pidone.cli.options import Argument, CommandSet, client, socket_option
from pidone.logs.escape import printable

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
    """Print the last log records as they went to stdout.

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
        print("[" + ", ".join(map(_in_json, records)) + "]")
    else:
        for record in records:
            print(printable(record))


def _in_json(record: str) -> str:
    """The record as it is where the log format made it an object, else as a string."""
    try:
        is_object = isinstance(json.loads(record), dict)
    except (ValueError, RecursionError):
        is_object = False
    return printable(record) if is_object else json.dumps(record)


def _follow(runtime: Client, query: dict[str, str], *, as_json: bool) -> None:
    for event, data in runtime.stream("api", "logs", follow="1", **query):
        if event == "lost":
            raise CommandError("too slow: some records were lost")
        sys.stdout.write((_in_json(data) if as_json else printable(data)) + "\n")
        sys.stdout.flush()
