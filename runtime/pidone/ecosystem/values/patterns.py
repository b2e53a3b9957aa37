"""Regular expressions that no line can keep busy for ever: its writer could stop the runtime with it."""

import math
from collections.abc import Iterable
from re import _parser as parser  # the only way to see what a pattern is made of
from typing import Any, Final

SLOW: Final = (
    "may take for ever on some lines: within a repetition without a limit there is another one, or a choice,"
    " or it has too many of them; write it without, or possessive as in `(?:a|b)*+`"
)
_MOST_BITS: Final = 24.0
"""Of the number of ways in which a line may be matched, by repetitions that have a limit and by choices."""
_ENDLESS_BITS: Final = 5.0
"""What a repetition without a limit counts for: four of them are usual, and the fifth is not."""


def backtracks(pattern: str) -> bool:
    """Whether some lines may be matched in a number of ways that grows exponentially with their length.

    Within a repetition without a limit there is another one, or a choice, and it is not possessive; or all of
    its repetitions and choices together have more ways than can be tried. Raises what `re.compile` raises.
    """
    parsed = parser.parse(pattern)
    return _backtracks(parsed, repeated=False) or _bits(parsed) > _MOST_BITS


def _backtracks(parsed: Iterable[tuple[object, Any]], *, repeated: bool) -> bool:
    for kind, value in parsed:
        name = str(kind)
        is_repetition = name in ("MAX_REPEAT", "MIN_REPEAT")
        is_endless = is_repetition and value[1] is parser.MAXREPEAT
        if repeated and (is_endless or name == "BRANCH"):
            return True
        is_atomic = name in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP")  # nobody comes back to it from outside
        inside = (repeated or is_endless) and not is_atomic
        if any(_backtracks(part, repeated=inside) for part in _parts(name, value)):
            return True
    return False


def _bits(parsed: Iterable[tuple[object, Any]]) -> float:
    """The logarithm of the number of ways, at most."""
    total = 0.0
    for kind, value in parsed:
        name = str(kind)
        inner = max((_bits(part) for part in _parts(name, value)), default=0.0)
        if name in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP", "ASSERT", "ASSERT_NOT"):
            total = max(total, inner) if inner > _MOST_BITS else total
        elif name == "BRANCH":
            total += math.log2(len(value[1])) + inner
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, _ = value
            if most is parser.MAXREPEAT:
                total += _ENDLESS_BITS + inner
            else:
                total += math.log2(most - least + 1) + most * inner
        else:
            total += inner
    return total


def _parts(name: str, value: Any) -> list[Iterable[tuple[object, Any]]]:
    """The patterns within a part of one, as re's parser gives it."""
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return [value[2]]
    if name == "SUBPATTERN":
        return [value[3]]
    if name == "BRANCH":
        return list(value[1])
    if name == "ATOMIC_GROUP":
        return [value]
    if name == "GROUPREF_EXISTS":
        return [part for part in value[1:] if part is not None]
    return [value[1]] if name in ("ASSERT", "ASSERT_NOT") else []
