"""One program of all commands, which imports the module of the command in question and no other."""

import gc
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from pidone.cli.operate.client import CommandError
from pidone.cli.registry import COMMANDS, TOPICS
from pidone.init.exitcodes import SIGNAL_BASE, ExitCode
from pidone.logs.escape import printable


class LazyGroup(click.Group):
    """Finds commands by name, without their siblings."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Every name."""
        return ["exec", *COMMANDS]

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's)
        """The command of that name."""
        if cmd_name == "exec":  # has a parser of its own, see init/bare/
            return click.Command("exec", help="Be PID 1 for one command, as tini and dumb-init are.")
        if cmd_name not in COMMANDS:
            return None
        commands: dict[str, click.Command] = import_module(COMMANDS[cmd_name]).app.commands
        gc.freeze()
        gc.enable()
        return commands[cmd_name]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The ways to use the program."""
        formatter.write_usage(ctx.command_path, "[start] [OPTIONS] FILE|SCRIPT [-- ARGS...]")
        formatter.write_usage(ctx.command_path, "[start] [OPTIONS] -- COMMAND [ARGS...]", prefix="       ")
        formatter.write_usage(ctx.command_path, "COMMAND [OPTIONS] [ARGS...]", prefix="       ")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What there is, by topic."""
        width = max(len(name) for names in TOPICS.values() for name in names)
        for topic, names in TOPICS.items():
            with formatter.section(topic):
                formatter.write_dl(
                    [
                        # Equal widths in all sections; the formatter aligns within one.
                        (name.ljust(width), self._summary(ctx, name, formatter.width))
                        for name in names
                    ]
                )

    def _summary(self, ctx: click.Context, name: str, width: int) -> str:
        command = self.get_command(ctx, name)
        return "" if command is None else command.get_short_help_str(width)


program = LazyGroup(
    "pidone",
    help="Run processes as the one foreground process of a container, and operate them while they run.",
    epilog="`pidone COMMAND --help` tells more, `pidone start --help` how to run a FILE.",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "show_default": True,
    },
)


def run(words: Sequence[str]) -> int:
    """Run a command; what goes wrong becomes one line on stderr and an exit code."""
    try:
        code = program(list(words), prog_name="pidone", standalone_mode=False)
    except click.ClickException as error:
        sys.stderr.write(_complaint(error))
        return ExitCode.USAGE
    except CommandError as error:
        sys.stderr.write(f"pidone: {printable(str(error))}\n")
        return error.code
    except click.Abort:
        return SIGNAL_BASE + 2
    return int(code or 0)


def _complaint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)  # of a usage error
    if context is None:
        return f"pidone: {printable(error.format_message())}\n"
    command = context.command_path.removeprefix("pidone").strip()
    where = f"{command}: " if command else ""
    return f"pidone: {where}{printable(error.format_message())}\n{context.get_usage()}\n"
