"""`save`: what runs now as TOML: what was started, as people have scaled, stopped and deleted it since."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pidone.cli.operate.client import Client, CommandError
from pidone.cli.options import Argument, CommandSet, socket_option
from pidone.errors import ConfigError

if TYPE_CHECKING:
    from pidone.cli.start import StartOptions
    from pidone.ecosystem.output.convert import Tables

app = CommandSet()


@app.command("save")
@click.argument(
    "file",
    cls=Argument,
    metavar="[FILE]",
    type=Path,
    required=False,
    help="Where to: 0600, replaced in one step; default: stdout.",
)
@socket_option
@click.option("--json", "as_json", is_flag=True, help="The same tables as JSON.")
def save(file: Path | None, *, socket: str | None, as_json: bool) -> None:
    """Write the running state, scale included, as TOML that starts it again."""
    text = text_of(Client.find(socket), as_json=as_json)
    if file is None:
        sys.stdout.write(text)
    else:
        replace(file, text)


def text_of(runtime: Client, *, as_json: bool = False) -> str:
    """What runs, as TOML or JSON. Raises CommandError."""
    from pidone.cli.start import what_to_load
    from pidone.ecosystem.load import document_of, read_document
    from pidone.ecosystem.output.snapshot import snapshot
    from pidone.ecosystem.output.text import json_text, toml_text
    from pidone.supervise.run.loading import in_child

    overview = runtime.get("api")
    options = _started_as(runtime, overview)
    command, how = what_to_load(options, overview["start"]["cwd"], overview["cpus"])
    if not command and overview["source"] is None:
        raise CommandError("the ecosystem came from standard input: there is nothing to build on")
    running = _running(runtime)

    def saved() -> "Tables":
        document = document_of(command) if command else read_document(Path(overview["source"]), how)
        return snapshot(document, how, running)

    try:
        found: Tables = in_child(saved)
    except ConfigError as error:
        raise CommandError(str(error)) from None
    name = overview["source"] or "a command line"
    return json_text(found) if as_json else toml_text(found, f"Saved from {name} by `pidone save`.")


def _started_as(runtime: Client, overview: Mapping[str, Any]) -> "StartOptions":
    """The command line of the runtime. From /proc and not from an answer, as it may hold secrets."""
    from pidone.cli.operate.live import sees_processes_of

    if not sees_processes_of(runtime):
        raise CommandError("the runtime is in another PID namespace; save inside of the container")
    try:
        given = Path(f"/proc/{overview['pid']}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError as error:
        raise CommandError(f"the command line of the runtime: {error.strerror}") from None
    count = overview["start"]["words"]
    words = [os.fsdecode(word) for word in given[len(given) - count :]]
    return _parsed(overview["start"]["name"], words, overview["source"])


def _parsed(name: str, words: list[str], source: str | None) -> "StartOptions":
    """`source` is the file that counts where the command line names none."""
    from pidone.cli.registry import PM2_NAMES

    if words and words[0].rpartition("/")[2] in (*PM2_NAMES, "pm2"):  # `pidone pm2-runtime FILE`
        name, *words = words
    if name.rpartition("/")[2] in (*PM2_NAMES, "pm2"):
        from pidone.cli.pm2.runtime import parse as parse_pm2_runtime

        return parse_pm2_runtime(words)[0]
    from pidone.cli.start import parse

    return parse(words[1:] if words[:1] == ["start"] else words, default=source)


def _running(runtime: Client) -> Mapping[tuple[str, str], Any]:
    from pidone.ecosystem.output.snapshot import SavedState

    return {
        (app["namespace"], app["name"]): SavedState(
            scale=app["scale"],
            is_wanted=app["wanted"],
            has_run=any(instance["incarnation"] for instance in app["instances"]),
        )
        for app in runtime.get("api", "apps")["apps"]
    }


def replace(path: Path, text: str) -> None:
    """Write a file that nobody else reads, in one step. Raises CommandError.

    Made anew under a name that nobody can have first: in a folder of an app's, it would be the app's file.
    """
    new = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
            new.replace(path)
        except OSError:
            new.unlink()
            raise
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
