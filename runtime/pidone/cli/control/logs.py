"""`logs`: the last records, and with `-f` those to come."""

import json
import sys
from typing import Annotated

import typer

from pidone.cli.control.client import Client, CommandError
from pidone.cli.control.targets import complete_apps
from pidone.cli.options import Socket, client, family

app = family()


@app.command("logs")
def logs(
    target: Annotated[
        str | None, typer.Argument(metavar="[APP]", help="Only this app.", autocompletion=complete_apps)
    ] = None,
    *,
    name: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="The same.", autocompletion=complete_apps)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", help="The last N records.")] = 100,
    err: Annotated[bool, typer.Option("--err", help="Only stderr and the runtime's errors.")] = False,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="10m, 2h, or 2026-01-31T12:00:00Z.")
    ] = "",
    socket: Socket = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON array of the records; with -f a line for each.")
    ] = False,
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
    elif records:
        print("\n".join(records))


def _in_json(record: str) -> str:
    """The record as it is where the log format made it an object, else as a string."""
    try:
        is_object = isinstance(json.loads(record), dict)
    except ValueError:
        is_object = False
    return record if is_object else json.dumps(record)


def _follow(runtime: Client, query: dict[str, str], *, as_json: bool) -> None:
    for event, data in runtime.stream("api", "logs", follow="1", **query):
        if event == "lost":
            raise CommandError("too slow: some records were lost")
        sys.stdout.write((_in_json(data) if as_json else data) + "\n")
        sys.stdout.flush()
