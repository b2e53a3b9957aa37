"""`pidone schema`: the JSON Schema of ecosystem files for editors, or the reference page."""

import json

import click

from pidone.cli.options import CommandSet, json_option

app = CommandSet()


@app.command("schema")
@click.option("--markdown", is_flag=True, help="docs/configuration.md instead.")
@json_option
def schema(*, markdown: bool, as_json: bool) -> None:
    """Print the JSON Schema of ecosystem files for editors, or the reference page."""
    del as_json  # it is
    if markdown:
        from pidone.ecosystem.output.reference import markdown as reference

        print(reference(), end="")
    else:
        from pidone.ecosystem.output.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
