"""`pidone convert FILE [-o OUT]`: any format to a commented TOML file, or to JSON."""

import os
import sys
from pathlib import Path
from typing import Final

import click

from pidone.cli.options import Argument, CommandSet
from pidone.ecosystem.options import LoadOptions
from pidone.errors import ConfigError
from pidone.host.cpus import available_cpus
from pidone.init.exitcodes import ExitCode
from pidone.logs.escape import printable_word

_SUFFIXES: Final = (".toml", ".json")


app = CommandSet()


@app.command("convert")
@click.argument("file", cls=Argument, help="The ecosystem; - is standard input.")
@click.option("--output", "-o", metavar="OUT", help="A .toml or .json file; default: TOML to stdout.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of TOML, on stdout.")
def convert_file(file: str, *, output: str | None, as_json: bool) -> int:
    """Translate an ecosystem of any format to a commented TOML file, or to JSON."""
    out = Path(output) if output else None
    if out and out.suffix not in _SUFFIXES:
        print(f"pidone convert: {out}: expected a name that ends in .toml or .json", file=sys.stderr)
        return ExitCode.USAGE
    source = None if file == "-" else Path(file)
    try:
        text = converted(source, out, LoadOptions(cpus=available_cpus(), must_exist=False), as_json=as_json)
    except ConfigError as error:
        print(
            *(f"error: {printable_word(line)}" for line in str(error).split("\n")), sep="\n", file=sys.stderr
        )
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


def converted(source: Path | None, out: Path | None, options: LoadOptions, *, as_json: bool = False) -> str:
    """The text of the new file, or with no file for stdout; warnings go to stderr. Raises ConfigError."""
    from pidone.ecosystem.load import read_document
    from pidone.ecosystem.output.convert import Converted, OutputFile, convert
    from pidone.ecosystem.output.text import json_text, toml_text
    from pidone.supervise.run.loading import in_child

    folder = Path(os.path.normpath(options.cwd / (out.parent if out else "")))
    is_toml = not as_json if out is None else out.suffix == ".toml"
    target = OutputFile(folder, has_references=is_toml)
    found: Converted = in_child(lambda: convert(read_document(source, options), options, target))
    for word, remarks in (("warning", found.ecosystem.warnings), ("note", found.ecosystem.notices)):
        for line in remarks:
            print(f"{word}: {printable_word(line)}", file=sys.stderr)
    if not is_toml:
        return json_text(found.tables)
    return toml_text(found.tables, f"Converted from {source or '<stdin>'} by `pidone convert`.")
