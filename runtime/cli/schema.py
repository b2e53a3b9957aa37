"""`pidone schema`: the JSON Schema of ecosystem files for editors, or the reference page."""

import argparse
import json

from runtime.init.exitcodes import ExitCode


def run(argv: list[str]) -> int:
    """Run `pidone schema`; `argv` is what follows the word."""
    parser = argparse.ArgumentParser(prog="pidone schema", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="docs/configuration.md instead")
    try:
        asked = parser.parse_args(argv)
    except SystemExit as end:
        return ExitCode.OK if end.code == 0 else ExitCode.USAGE
    if asked.markdown:
        from runtime.ecosystem.reference import markdown

        print(markdown(), end="")
    else:
        from runtime.ecosystem.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
    return ExitCode.OK
