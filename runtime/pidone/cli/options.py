"""What the commands have in common: how they are made, and the arguments and options that many share."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from pidone.cli.operate.suggestions import complete

if TYPE_CHECKING:
    from pidone.ecosystem.spec import Seconds

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Argument(click.Argument):
    """One that `--help` explains. Click has that itself from 8.5 on; older ones are in many environments."""

    def __init__(self, declarations: Sequence[str], help: str = "", **settings: Any) -> None:  # noqa: A002 (click's)
        """As click's."""
        super().__init__(declarations, **settings)
        self.text = help


class Command(click.Command):
    """One whose `--help` explains its arguments before its options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Both lists."""
        arguments = [each for each in self.params if isinstance(each, Argument)]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([(each.human_readable_name, each.text) for each in arguments])
        super().format_options(ctx, formatter)


class CommandSet:
    """The commands of one module; `pidone.cli.click_app` makes one program of them all."""

    def __init__(self) -> None:
        """None yet."""
        self.commands: dict[str, Command] = {}

    def command(
        self, name: str, *, also: Sequence[str] = (), **settings: Any
    ) -> Callable[[Callable[..., int | None]], Command]:
        """Decorate the function that is the command; `also` are other words for it."""

        def add(function: Callable[..., int | None]) -> Command:
            made = click.command(name, cls=Command, **settings)(function)
            self.commands.update(dict.fromkeys((name, *also), made))
            return made

        return add


TARGETS: Final = "app, app:index, id, namespace or all"
DASHES: Final = {"ignore_unknown_options": True}
"""Context of commands with arguments that may begin with a dash: `scale api -1`, `signal api -9`."""

target_argument = click.argument("target", cls=Argument, help=TARGETS, shell_complete=complete)


def _targets(metavar: str, text: str = TARGETS, *, required: bool = True) -> Callable[[_Function], _Function]:
    """Several of them."""
    return click.argument(
        "target",
        cls=Argument,
        metavar=metavar,
        nargs=-1,
        required=required,
        help=text,
        shell_complete=complete,
    )


targets_argument = _targets("TARGET...")
targets_or_files_argument = _targets("TARGET|FILE...", f"{TARGETS}; an ecosystem file stands for its apps")
any_targets_argument = _targets("[TARGET]...", required=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
socket_option = click.option("--socket", metavar="PATH", help="Control socket of the runtime.")
env_option = click.option("--env", metavar="NAME", help="Lay env_NAME over every app's env.")
no_wait_option = click.option("--no-wait", is_flag=True, help="Do not wait until it has happened.")


def positive(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    """What an option of some time is called with. Raises click.BadParameter for none, less, or no end."""
    if not 0 < value < math.inf:
        raise click.BadParameter(f"{value:g}: seconds are needed, more than 0")
    return value


def timeout_option(default: "Seconds") -> Callable[[_Function], _Function]:
    """How long a command waits."""
    return click.option("--timeout", metavar="S", type=float, default=default, help="Wait at most this long.")
