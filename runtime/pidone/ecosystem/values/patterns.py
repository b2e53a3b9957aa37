"""Regular expressions that no line can keep busy for ever: its writer could stop the runtime with it."""

from collections.abc import Iterable
from re import _parser as parser  # the only way to see what a pattern is made of
from typing import Any


def backtracks(pattern: str) -> bool:
    """Whether some lines may be matched in a number of ways that grows exponentially with their length.

    Within a repetition without a limit there is another one, or a choice, and it is not possessive. Raises
    what `re.compile` raises.
    """
    return _backtracks(parser.parse(pattern), repeated=False)


def _backtracks(parsed: Iterable[tuple[object, Any]], *, repeated: bool) -> bool:
    for kind, value in parsed:
        name = str(kind)
        is_repetition = name in ("MAX_REPEAT", "MIN_REPEAT")
        is_endless = is_repetition and value[1] is parser.MAXREPEAT
        if repeated and (is_endless or name == "BRANCH"):
            return True
        inner = _parts(name, value)
        if any(_backtracks(part, repeated=repeated or is_endless) for part in inner):
            return True
    return False


def _parts(name: str, value: Any) -> list[Iterable[tuple[object, Any]]]:
    """The patterns within a part of one, as re's parser gives it."""
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return [value[2]]
    if name == "SUBPATTERN":
        return [value[3]]
    if name == "BRANCH":
        return list(value[1])
    return [value[1]] if name in ("ASSERT", "ASSERT_NOT") else []
