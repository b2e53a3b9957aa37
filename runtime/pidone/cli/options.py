"""What the commands' typer apps have in common: how they are made, and the arguments that many share."""

from typing import Annotated

import typer

from pidone.cli.control.client import Client
from pidone.cli.control.targets import complete


def family() -> typer.Typer:
    """A typer app for the commands of one module; `pidone.cli.commands` makes one of them all.

    Without rich: it would double the time of every usage error and --help.
    """
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


_TARGETS = "app, app:index, id, namespace or all"

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Socket = Annotated[
    str | None, typer.Option("--socket", metavar="PATH", help="Control socket of the runtime.")
]
Target = Annotated[str, typer.Argument(metavar="TARGET", help=_TARGETS, autocompletion=complete)]
Targets = Annotated[list[str], typer.Argument(metavar="TARGET...", help=_TARGETS, autocompletion=complete)]
AnyTargets = Annotated[
    list[str] | None, typer.Argument(metavar="[TARGET]...", help=_TARGETS, autocompletion=complete)
]
EnvName = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="Lay env_NAME over every app's env.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until it has happened.")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="S", help="Wait at most this long.")]
"""In seconds."""

DASHES = {"ignore_unknown_options": True}
"""Context of commands with arguments that may begin with a dash: `scale api -1`, `signal api -9`."""


def client(socket: str | None) -> Client:
    """The runtime a command is meant for. Raises CommandError."""
    return Client.find(socket)
