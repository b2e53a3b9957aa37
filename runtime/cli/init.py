"""`pidone init [FOLDER]`: a first ecosystem.toml, made from what is in the folder."""

import argparse
import sys
from pathlib import Path
from typing import Final

from runtime.ecosystem.starters.folder import starter
from runtime.ecosystem.writing import toml_text
from runtime.errors import ConfigError
from runtime.init.exitcodes import ExitCode

_NAME: Final = "ecosystem.toml"
_PM2S: Final = (
    "ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.mjs", "ecosystem.json", "ecosystem.yml",
    "ecosystem.yaml", "pm2.config.js", "pm2.json", "process.json", "process.yml",
)  # fmt: skip
_IDEAS: Final = """
# What many services want as well; `pidone schema --markdown` describes every key:
#   instances = "max"              as many processes as this container may use CPUs
#   listen = [3000]                a port that reloads do not close
#   ready = "http:/health"         when it can work
#   health = "http:/health"        whether it still does
#   max_memory_restart = "80%/n"   replaced before the kernel kills it
#   depends_on = ["other"]         apps that come first
"""


def run(argv: list[str]) -> int:
    """Run `pidone init`; `argv` is what follows the word."""
    parser = argparse.ArgumentParser(prog="pidone init", description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="default: this one")
    parser.add_argument("-f", "--force", action="store_true", help=f"replace an {_NAME} that is there")
    try:
        asked = parser.parse_args(argv)
    except SystemExit as end:
        return ExitCode.OK if end.code == 0 else ExitCode.USAGE
    folder = Path(asked.folder)
    there = [name for name in (_NAME, *_PM2S) if (folder / name).exists()]
    if there and not asked.force:
        return _refuse(
            ExitCode.USAGE,
            f"{folder / there[0]} is there already and can be run as it is"
            + (f"; `pidone convert {there[0]} -o {_NAME}` translates it" if there[0] != _NAME else ""),
        )
    try:
        found = starter(folder)
        text = toml_text(found.tables, f"Made by `pidone init` from {found.made_of}.") + _IDEAS
        (folder / _NAME).write_text(text, encoding="utf-8")
    except ConfigError as error:
        return _refuse(ExitCode.CONFIG, str(error))
    except OSError as error:
        return _refuse(ExitCode.CONFIG, f"{error.filename}: {error.strerror}")
    print(f"{folder / _NAME}: written, from {found.made_of}. Next: pidone check {folder / _NAME}")
    return ExitCode.OK


def _refuse(code: ExitCode, message: str) -> int:
    print(f"pidone init: {message}", file=sys.stderr)
    return code
