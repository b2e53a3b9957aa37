"""`pidone init [FOLDER]`: a first ecosystem.toml, made from what is in the folder."""

import json
import os
import sys
from pathlib import Path
from typing import Final

import click

from pidone.cli.options import Argument, CommandSet, json_option
from pidone.ecosystem.output.text import toml_text
from pidone.ecosystem.starters.folder import starter
from pidone.errors import ConfigError
from pidone.init.exitcodes import ExitCode
from pidone.logs.escape import printable, printable_word

_NAME: Final = "ecosystem.toml"
_PM2S: Final = (
    "ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.mjs", "ecosystem.json", "ecosystem.yml",
    "ecosystem.yaml", "pm2.config.js", "pm2.json", "process.json", "process.yml",
)  # fmt: skip
_IDEAS: Final = (
    "What many services want as well; `pidone schema --markdown` describes every key:",
    'instances = "max"  # as many processes as this container may use CPUs',
    "listen = [3000]  # a port that reloads do not close",
    'ready = "http:/health"  # when it can work',
    'health = "http:/health"  # whether it still does',
    'max_memory_restart = "80%/n"  # replaced before the kernel kills it',
    'depends_on = ["other"]  # apps that come first',
)


app = CommandSet()


@app.command("init")
@click.argument("folder", cls=Argument, metavar="[FOLDER]", type=Path, default=".", help="Where.")
@click.option("--force", "-f", is_flag=True, help=f"Replace an {_NAME} that is there.")
@json_option
def init(folder: Path, *, force: bool, as_json: bool) -> int:
    """Write a first ecosystem.toml, made from what is in the folder."""
    there = [name for name in (_NAME, *_PM2S) if os.path.exists(folder / name)]
    if there and not force:
        return _refuse(
            ExitCode.USAGE,
            f"{folder / there[0]} is there already and can be run as it is"
            + (f"; `pidone convert {there[0]} -o {_NAME}` translates it" if there[0] != _NAME else ""),
        )
    try:
        found = starter(folder)
        used = {key for app in found.tables.apps[:1] for key in app}
        ideas = [idea for idea in _IDEAS if idea.partition(" ")[0] not in used]
        text = toml_text(found.tables, f"Made by `pidone init` from {found.made_of}.", ideas)
        (folder / _NAME).write_text(text, encoding="utf-8")
    except ConfigError as error:
        return _refuse(ExitCode.CONFIG, str(error))
    except OSError as error:
        return _refuse(ExitCode.CONFIG, f"{error.filename}: {error.strerror}")
    if as_json:
        print(json.dumps({"file": str(folder / _NAME), "made_of": found.made_of}))
        return ExitCode.OK
    made = printable_word(str(folder / _NAME))
    print(f"{made}: written, from {printable_word(found.made_of)}. Next: pidone check {made}")
    return ExitCode.OK


def _refuse(code: ExitCode, message: str) -> int:
    print(f"pidone init: {printable(message)}", file=sys.stderr)
    return code
