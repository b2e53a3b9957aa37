"""`pidone check FILE`: what an ecosystem means, and everything that is wrong with it."""

import json
import sys
from pathlib import Path

import click

from pidone.cli.options import Argument, CommandSet, env_option, json_option
from pidone.errors import ConfigError
from pidone.init.exitcodes import ExitCode

_USUAL = "ecosystem.toml"
_WOULD_NOT_START = 1

app = CommandSet()


@app.command("check")
@click.argument("file", cls=Argument, nargs=-1, help="The ecosystem (later ones win); - is standard input.")
@json_option
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@env_option
@click.option("--only", metavar="NAMES", default="", help="Only these apps, comma separated.")
def check(file: tuple[str, ...], *, as_json: bool, strict: bool, env: str | None, only: str) -> int:
    """Tell what an ecosystem means, and everything that is wrong with it."""
    from pidone.cli.start import default_file
    from pidone.ecosystem.load import Examined, examine_file
    from pidone.ecosystem.options import LoadOptions
    from pidone.ecosystem.output.resolved import as_plain, as_text
    from pidone.ecosystem.output.text import without_controls
    from pidone.ecosystem.spec import Ecosystem
    from pidone.host.cpus import available_cpus
    from pidone.logs.escape import printable_word
    from pidone.supervise.run.loading import in_child

    cpus = available_cpus()
    names = tuple(only.replace(",", " ").split())
    try:
        found = default_file(str(Path.cwd())) if not file else None
        first, *others = file or (found or _USUAL,)
        source = None if first == "-" else Path(first)
        more = tuple(map(Path, others))
        start = ("start", *(file or (first,)), *(("--env", env) if env else ()))
        how = LoadOptions(env_name=env, only=names, more=more, cpus=cpus, argv=start, hints=True)
        examined: Examined = in_child(lambda: examine_file(source, how))
    except ConfigError as error:
        examined = Examined(Ecosystem(apps=()), tuple(str(error).split("\n")))
    ecosystem, errors, sources = examined
    counted = [(spec, spec.count(cpus)) for spec in ecosystem.apps]
    notices = (*ecosystem.notices, *(right.message for right in ecosystem.missing_rights))
    remarks = [*ecosystem.warnings, *notices]
    if as_json:
        apps = [as_plain(spec, count) for spec, count in counted]
        told = {"apps": apps, "warnings": remarks}
        told |= {name: value for name, value in (("errors", errors), ("sources", sources)) if value}
        print(without_controls(json.dumps(told, ensure_ascii=False, indent=2)))
    else:
        for spec, count in counted:
            print("\n".join(as_text(spec, count, sources.get(spec.name, {}))))
    kinds = (("error", errors), ("warning", ecosystem.warnings), ("note", notices))
    for word, lines in kinds[: 1 if as_json else 3]:
        for line in lines:
            print(f"{word}: {printable_word(line)}", file=sys.stderr)
    return _WOULD_NOT_START if errors or (strict and ecosystem.warnings) else ExitCode.OK
