"""The command lines of these commands: argparse with our exit codes, and errors in one line.

argparse and not typer: typer alone takes 40 ms to import (measured), a quarter of what `pidone ls` may take.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from runtime.cli.control.client import Client, CommandError
from runtime.init.exitcodes import SIGNAL_BASE, ExitCode


class Parser(argparse.ArgumentParser):
    """Says `usage` in one line and exits with 64."""

    def error(self, message: str) -> NoReturn:
        """Wrong usage."""
        self.exit(ExitCode.USAGE, f"pidone: {self.prog.partition(' ')[2]}: {message}\n{self.format_usage()}")


def parser(command: str, description: str) -> Parser:
    """A parser with the options that every command has."""
    made = Parser(prog=f"pidone {command}", description=description, allow_abbrev=False)
    made.add_argument("--socket", metavar="PATH", help="control socket of the runtime")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def guarded(run: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    """Run a command; what goes wrong becomes one line on stderr and an exit code."""
    try:
        return run(words)
    except CommandError as error:
        sys.stderr.write(f"pidone: {error}\n")
        return error.code
    except KeyboardInterrupt:
        return SIGNAL_BASE + 2
    except BrokenPipeError:  # `pidone ls | head`
        sys.stdout = None  # nothing is left to flush into
        return 0


def client(options: argparse.Namespace) -> Client:
    """The runtime a command is meant for."""
    return Client.find(options.socket)
