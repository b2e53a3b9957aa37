"""`pidone check FILE`: what an ecosystem means, and everything that is wrong with it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pidone.cli.options import Argument, CommandSet, env_option, json_option
from pidone.errors import ConfigError
from pidone.init.exitcodes import ExitCode

if TYPE_CHECKING:
    from pidone.ecosystem.spec import Ecosystem

_WOULD_NOT_START = 1

app = CommandSet()


@app.command("check")
@click.argument("file", cls=Argument, help="The ecosystem; - is standard input.")
@json_option
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@env_option
@click.option("--only", metavar="NAMES", default="", help="Only these apps, comma separated.")
def check(file: str, *, as_json: bool, strict: bool, env: str | None, only: str) -> int:
    """Tell what an ecosystem means, and everything that is wrong with it."""
    from pidone.ecosystem.load import load
    from pidone.ecosystem.options import LoadOptions
    from pidone.ecosystem.output.resolved import as_plain, as_text
    from pidone.host.cpus import available_cpus
    from pidone.supervise.loading import in_child

    cpus = available_cpus()
    names = tuple(only.replace(",", " ").split())
    try:
        source = None if file == "-" else Path(file)
        start = ("start", file, *(("--env", env) if env else ()))
        how = LoadOptions(env_name=env, only=names, cpus=cpus, argv=start)
        ecosystem: Ecosystem = in_child(lambda: load(source, how))
    except ConfigError as error:
        lines = str(error).split("\n")
        if as_json:
            print(json.dumps({"apps": [], "warnings": [], "errors": lines}, ensure_ascii=False))
        print(*(f"error: {line}" for line in lines), sep="\n", file=sys.stderr)
        return _WOULD_NOT_START
    counted = [(spec, spec.count(cpus)) for spec in ecosystem.apps]
    remarks = [*ecosystem.warnings, *ecosystem.notices]
    if as_json:
        apps = [as_plain(spec, count) for spec, count in counted]
        print(json.dumps({"apps": apps, "warnings": remarks}, ensure_ascii=False, indent=2))
    else:
        for spec, count in counted:
            print("\n".join(as_text(spec, count)))
        for word, remarks_of in (("warning", ecosystem.warnings), ("note", ecosystem.notices)):
            for line in remarks_of:
                print(f"{word}: {line}", file=sys.stderr)
    return _WOULD_NOT_START if strict and ecosystem.warnings else ExitCode.OK
