"""What happens in the child: a text in some language becomes plain values."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pidone.ecosystem.formats import languages
from pidone.ecosystem.formats.child import Answer
from pidone.ecosystem.formats.source import Source
from pidone.errors import ConfigError


def read_in_child(
    source: Source, language: str, *, env: Mapping[str, str], argv: Sequence[str], cpus: int
) -> Answer:
    """The value, and what else there is to know, as JSON can say it.

    Raises:
        ConfigError: the text is not what it should be.
    """
    started_at = time.monotonic()
    try:
        if language == languages.TOML:
            return _toml(source)
        if language == languages.YAML:
            return _yaml(source)
        return _javascript(
            source, env, argv, cpus, started_at=started_at, as_expression=language == languages.JSON
        )
    except MemoryError:
        raise ConfigError(f"{source.name}: needs more memory than a configuration may have") from None
    except RecursionError:
        raise ConfigError(f"{source.name}: is nested too deeply") from None


def _toml(source: Source) -> Answer:
    from pidone.ecosystem.formats import toml  # noqa: PLC0415 each language only where it is needed

    value, notices = toml.parse(source)
    return {"value": value, "notices": notices}


def _yaml(source: Source) -> Answer:
    from pidone.ecosystem.formats import yaml12  # noqa: PLC0415 each language only where it is needed

    value, notices, lines = yaml12.parse(source)
    return {"value": value, "notices": notices, "lines": list(lines.items())}


def _javascript(
    source: Source,
    env: Mapping[str, str],
    argv: Sequence[str],
    cpus: int,
    *,
    started_at: float,
    as_expression: bool,
) -> Answer:
    from pidone.ecosystem.formats.javascript import engine  # noqa: PLC0415 each language only where it is needed

    around = engine.Surroundings(env=env, argv=argv, cpus=cpus)
    try:
        result = engine.evaluate(source, around, as_expression=as_expression)
    except engine.ThirdPartyNeeded as needed:
        result = _with_node(source, around, needed, started_at=started_at)
    return _plain(source, result)


def _with_node(source: Source, around: Any, needed: Any, *, started_at: float) -> Any:
    from pidone.ecosystem.formats.javascript import node  # noqa: PLC0415 hardly ever needed

    executable = node.find(around.env)
    if executable and source.path:
        return node.evaluate(source, around, node=executable, started_at=started_at)
    raise ConfigError(
        f"{needed.error}; the file requires the package '{needed.module}', and there is no Node here that "
        "could load it: write the value into the file, or convert the file where Node is"
    )


def _plain(source: Source, result: Any) -> Answer:
    from pidone.ecosystem.formats.plain import Plain  # noqa: PLC0415 as above

    plain = Plain(source.name)
    value = plain.value(result.value)
    return {"value": value, "notices": [*result.notices, *plain.notices], "env": dict(result.env)}
