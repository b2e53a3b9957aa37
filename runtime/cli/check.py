"""`pidone check FILE`: what an ecosystem means, and everything that is wrong with it."""

import argparse
import json
import sys
from pathlib import Path

from runtime.errors import ConfigError
from runtime.init.exitcodes import ExitCode

_WOULD_NOT_START = 1


def run(argv: list[str]) -> int:
    """Run `pidone check`; `argv` is what follows the word."""
    parser = argparse.ArgumentParser(prog="pidone check", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="the ecosystem; - is standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--strict", action="store_true", help="warnings are errors")
    parser.add_argument("--env", metavar="NAME", help="lay env_NAME over env")
    parser.add_argument("--only", metavar="NAMES", default="", help="only these apps, comma separated")
    try:
        asked = parser.parse_args(argv)
    except SystemExit as end:
        return ExitCode.OK if end.code == 0 else ExitCode.USAGE

    from runtime.ecosystem.load import load
    from runtime.ecosystem.options import LoadOptions
    from runtime.ecosystem.resolved import as_plain, as_text
    from runtime.host.cpus import available_cpus

    cpus = available_cpus()
    only = tuple(asked.only.replace(",", " ").split())
    try:
        source = None if asked.file == "-" else Path(asked.file)
        start = ("start", asked.file, *(("--env", asked.env) if asked.env else ()))
        ecosystem = load(source, LoadOptions(env_name=asked.env, only=only, cpus=cpus, argv=start))
    except ConfigError as error:
        lines = str(error).split("\n")
        if asked.json:
            print(json.dumps({"apps": [], "warnings": [], "errors": lines}, ensure_ascii=False))
        print(*(f"error: {line}" for line in lines), sep="\n", file=sys.stderr)
        return _WOULD_NOT_START
    counted = [(app, app.count(cpus)) for app in ecosystem.apps]
    remarks = [*ecosystem.warnings, *ecosystem.notices]
    if asked.json:
        apps = [as_plain(app, count) for app, count in counted]
        print(json.dumps({"apps": apps, "warnings": remarks}, ensure_ascii=False, indent=2))
    else:
        for app, count in counted:
            print("\n".join(as_text(app, count)))
        for word, remarks_of in (("warning", ecosystem.warnings), ("note", ecosystem.notices)):
            for line in remarks_of:
                print(f"{word}: {line}", file=sys.stderr)
    return _WOULD_NOT_START if asked.strict and ecosystem.warnings else ExitCode.OK
