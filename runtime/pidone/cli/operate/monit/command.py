"""The command `monit`."""

import json
import os
import sys
import time

import click

from pidone.cli.operate.client import Client, CommandError
from pidone.cli.options import CommandSet, socket_option

app = CommandSet()


@app.command("monit")
@socket_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON each second instead.")
def monit(*, socket: str | None, as_json: bool) -> None:
    """Watch everything live, and act on it; `?` shows all keys."""
    runtime = Client.find(socket)
    if as_json:
        _print_lines(runtime)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("monit needs a terminal (docker exec -it), or --json")
    if os.environ.get("TERM") == "dumb":
        raise CommandError("monit cannot draw here (TERM=dumb): `pidone ls` and `monit --json` can be read")
    from pidone.cli.operate.monit import driver

    driver.run(runtime)


def _print_lines(runtime: Client) -> None:
    while True:
        print(json.dumps({"timestamp": time.time(), **runtime.get("api", "apps")}), flush=True)
        time.sleep(1)
