"""JavaScript: evaluated by our engine or by the image's Node, bun or deno; with Node's modules."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pidone.ecosystem.formats.javascript import engine
from pidone.ecosystem.formats.plain import Plain
from pidone.ecosystem.formats.source import Parsed, Source
from pidone.errors import ConfigError

_CUT: Final = ": ... and more, not shown"
_PRINTS: Final = ": it prints: "


def parse(
    source: Source, env: Mapping[str, str], argv: Sequence[str], cpus: int, *, as_expression: bool
) -> Parsed:
    """Evaluate a module, or the expression that "JSON" is; in Node where our engine lacks something.

    Raises:
        ConfigError: it does not evaluate, or not to plain values.
    """
    around = engine.ScriptEnvironment(env=env, argv=argv, cpus=cpus)
    try:
        result = engine.evaluate(source, around, as_expression=as_expression)
    except engine.NodeNeeded as needed:
        result = _with_node(source, around, needed)
    plain = Plain(source.name)
    value = plain.value(result.value)
    return Parsed(value, notices=(*_one_note(result.notices), *plain.notices), env=dict(result.env))


def _one_note(notices: Sequence[str]) -> Iterator[str]:
    """What a file prints is one note, however much it is."""
    printed = [notice for notice in notices if _PRINTS in notice]
    yield from (notice for notice in notices if _PRINTS not in notice and not notice.endswith(_CUT))
    if printed:
        yield printed[0] + (" (and more lines)" if len(printed) > 1 else "")


def _with_node(
    source: Source, around: engine.ScriptEnvironment, needed: engine.NodeNeeded
) -> engine.Evaluated:
    from pidone.ecosystem.formats.javascript import node  # noqa: PLC0415 hardly ever needed

    executable = needed.program or node.find(around.env)
    if executable and source.path:
        return node.evaluate(source, around, node=executable)
    if needed.result:
        note = f"{source.name}: {needed}, which may come out differently without a Node here"
        return needed.result.but(notices=(*needed.result.notices, note))
    raise ConfigError(
        f"{needed.error}; the file {needed}, and there is no Node here that has it: write the value into"
        " the file, or convert the file where Node is"
    )
