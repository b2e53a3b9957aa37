"""`pidone schema`: the JSON Schema of ecosystem files for editors, or the reference page."""

import json
from typing import Annotated

import typer

from pidone.cli.options import Json, family

app = family()


@app.command("schema")
def schema(
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="docs/configuration.md instead.")] = False,
    as_json: Json = True,
) -> None:
    """Print the JSON Schema of ecosystem files for editors, or the reference page."""
    del as_json  # it is
    if markdown:
        from pidone.ecosystem.output.reference import markdown as reference

        print(reference(), end="")
    else:
        from pidone.ecosystem.output.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
