"""`pidone convert FILE [-o OUT]`: any format to a commented TOML file, or to JSON."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from runtime.ecosystem.options import LoadOptions
from runtime.errors import ConfigError
from runtime.host.cpus import available_cpus
from runtime.init.exitcodes import ExitCode

_SUFFIXES: Final = (".toml", ".json")


def run(argv: list[str]) -> int:
    """Run `pidone convert`; `argv` is what follows the word."""
    parser = argparse.ArgumentParser(prog="pidone convert", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="the ecosystem; - is standard input")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="a .toml or .json file; default: TOML to stdout"
    )
    try:
        asked = parser.parse_args(argv)
    except SystemExit as end:
        return ExitCode.OK if end.code == 0 else ExitCode.USAGE
    out = Path(asked.output) if asked.output else None
    if out and out.suffix not in _SUFFIXES:
        print(f"pidone convert: {out}: expected a name that ends in .toml or .json", file=sys.stderr)
        return ExitCode.USAGE
    source = None if asked.file == "-" else Path(asked.file)
    try:
        text = converted(source, out, LoadOptions(cpus=available_cpus(), must_exist=False))
    except ConfigError as error:
        print(*(f"error: {line}" for line in str(error).split("\n")), sep="\n", file=sys.stderr)
        return ExitCode.CONFIG
    if out is None:
        print(text, end="")
        return ExitCode.OK
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"pidone convert: {out}: {error.strerror}", file=sys.stderr)
        return ExitCode.CONFIG
    return ExitCode.OK


def converted(source: Path | None, out: Path | None, options: LoadOptions) -> str:
    """The text of the new file; warnings go to stderr. Raises ConfigError."""
    from runtime.ecosystem.convert import Target, convert
    from runtime.ecosystem.load import read_document
    from runtime.ecosystem.writing import json_text, toml_text

    document = read_document(source, options)
    folder = Path(os.path.normpath(options.cwd / (out.parent if out else "")))
    is_toml = out is None or out.suffix == ".toml"
    found = convert(document, options, Target(folder, has_references=is_toml))
    for word, remarks in (("warning", found.ecosystem.warnings), ("note", found.ecosystem.notices)):
        for line in remarks:
            print(f"{word}: {line}", file=sys.stderr)
    if not is_toml:
        return json_text(found.tables)
    return toml_text(found.tables, f"Converted from {document.name} by `pidone convert`.")
