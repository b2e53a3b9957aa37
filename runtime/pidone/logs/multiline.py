"""Stack traces as one message: which lines belong to the line before them."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from pidone.bounded_search import LONG, BoundedSearch, SearchTooLongError
from pidone.ecosystem.byte_pattern import byte_pattern
from pidone.ecosystem.spec import Bytes, Seconds
from pidone.logs.escape import JOINT

PATIENCE: Final[Seconds] = 0.1
"""How long a message that may go on is held back; a writer that is in the middle of one is faster."""
_MOST_LINES: Final = 512
_MOST_BYTES: Final = 64 * 1024


_State: TypeAlias = tuple[tuple[str, str], ...]
"""What may follow in a trace: the first pattern that matches the line tells the next state."""


def _state(*then: tuple[str, str]) -> _State:
    return then


@functools.cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    """Compiled when it is first needed: few apps join lines, and every start would pay for it."""
    return re.compile(pattern.encode())


_INDENTED: Final = r"[ \t]"
_PYTHON: Final[Mapping[str, _State]] = {
    # Exception groups (PEP 654) draw a frame. A syntax error of the program itself has no `Traceback`.
    "start": _state(
        (r"Traceback \(most recent call last\):", "py-frames"),
        (r" *\+ Exception Group Traceback \(", "py-group"),
        (r'  File ".+", line \d+$', "py-frames"),
    ),
    "py-frames": _state((_INDENTED, "py-frames"), (r"\S", "py-raised")),
    "py-raised": _state((_INDENTED, "py-raised"), (r"$", "py-gap")),
    "py-group": _state((r" *[|+]", "py-group"), (r"$", "py-gap")),
    "py-gap": _state(
        (r"During handling of the above exception|The above exception was the direct cause", "py-chain"),
    ),
    "py-chain": _state(
        (r"$", "py-chain"),
        (r"Traceback \(", "py-frames"),
        (r" *\+ Exception Group Traceback \(", "py-group"),
    ),
}
_JAVA: Final[Mapping[str, _State]] = {
    "start": _state((r".*(?:Exception|Error|Throwable)\b", "java-thrown")),
    "java-thrown": _state((r"\s+(?:at |\.\.\. \d+ |Suppressed: )|Caused by: ", "java-frames")),
    "java-frames": _state(
        (r"\s+(?:at |\.\.\. \d+ |Suppressed: |Caused by: |\[CIRCULAR )|Caused by: ", "java-frames")
    ),
}
_NODE: Final[Mapping[str, _State]] = {
    # An uncaught exception shows its source first: `/app/x.js:3`, the line, carets, an empty line.
    "start": _state(
        (r"(?:(?:file://)?/|node:)\S+:\d+$", "node-where"),
        (r"(?=.*(?:Error|Exception)\b).* \{$", "node-frames"),
        (r".*(?:Error|Exception)\b", "node-thrown"),
    ),
    "node-where": _state((r"", "node-source")),
    "node-source": _state((r"\s*\^+$", "node-caret")),
    "node-caret": _state((r"$", "node-gap")),
    "node-gap": _state((r".* \{$", "node-frames"), (r"\S", "node-thrown")),
    "node-thrown": _state((r"\s+at ", "node-frames"), (r"$", "node-end")),
    "node-frames": _state((_INDENTED, "node-frames"), (r"[}\]]", "node-frames"), (r"$", "node-end")),
    "node-end": _state((r"Node\.js v\d", "node-frames")),
}
_LANGUAGES: Final[Mapping[str, tuple[Mapping[str, _State], ...]]] = {
    "python": (_PYTHON,),
    "java": (_JAVA,),
    "node": (_NODE,),
    "auto": (_PYTHON, _NODE, _JAVA),
}
_BEGINNINGS: Final = (
    b"Traceback (",
    b'\n  File "',
    b"Error",
    b"Exception",
    b"Throwable",
    b"\n/",
    b"\nfile:",
    b"\nnode:",
)
"""Without any of these no line begins a trace, in whatever language; to look for them costs little."""


class Joiner:
    r"""Holds the lines of one message together, with `escape.JOINT` in place of the `\n` between them."""

    def __init__(
        self,
        goes_on: Callable[[bytes, bool], bool | None],
        may_begin: Callable[[bytes], bool],
        longest: Bytes,
        prepare: Callable[[list[bytes]], object] = bool,
    ) -> None:
        """`goes_on` tells of a line, and whether it comes first: True joins it, None lets it pass alone.

        `may_begin` tells of many lines whether `goes_on` may be true for any that comes first.
        A line above `longest` is joined with nothing: it does not fit into a record, and may come in pieces.
        `prepare` gets lines that come together, before `goes_on` gets them one by one.
        """
        self._goes_on = goes_on
        self._may_begin = may_begin
        self._longest = longest
        self._prepare = prepare
        self._held: list[bytes] = []
        self._held_bytes = 0

    @property
    def holds(self) -> bool:
        """Whether a message is waiting for its next line."""
        return bool(self._held)

    def feed(self, lines: bytes) -> bytes:
        r"""Whole lines in, whole messages out, each ended by `\n`."""
        if not self._held and not self._may_begin(b"\n" + lines):
            return lines
        messages: list[bytes] = []
        single = lines[:-1].split(b"\n")
        self._prepare(single)
        for line in single:
            if len(line) > self._longest:
                messages += (*self._release(), line)
                continue
            verdict = self._goes_on(line, not self._held)
            if not verdict and self._held:
                messages += self._release()
                verdict = self._goes_on(line, True)
            if verdict is None:
                messages.append(line)
                continue
            if self._held_bytes + len(line) > _MOST_BYTES or len(self._held) >= _MOST_LINES:
                messages += self._release()
            self._held.append(line)
            self._held_bytes += len(line)
        return b"\n".join(messages) + b"\n" if messages else b""

    def flush(self) -> bytes:
        """The message that is held, complete or not."""
        return b"\n".join(self._release()) + b"\n" if self._held else b""

    def _release(self) -> list[bytes]:
        held, self._held, self._held_bytes = self._held, [], 0
        if len(held) > 1 and not held[-1]:  # an empty line that nothing followed belongs to nobody
            return [JOINT.join(held[:-1]), held[-1]]
        return [JOINT.join(held)] if held else []


def joiner(multiline: str, longest: Bytes, search: BoundedSearch) -> Joiner:
    """Make one for a value of the key `multiline`: a language, `auto`, or a pattern of first lines."""
    machines = _LANGUAGES.get(multiline)
    if machines:
        return Joiner(_by_language(machines), _has_beginning, longest)
    return _by_first_line(multiline, longest, search)


def _has_beginning(lines: bytes) -> bool:
    return any(beginning in lines for beginning in _BEGINNINGS)


def _by_first_line(pattern: str, longest: Bytes, bounded: BoundedSearch) -> Joiner:
    """Everything up to the next line that matches belongs to the one before."""
    search = re.compile(byte_pattern(pattern)).search
    firsts: dict[bytes, bool] = {}
    """Of the lines that are being fed."""

    def is_first(line: bytes) -> bool:
        return search(line, 0, LONG) is not None

    def which_are_first(lines: list[bytes]) -> dict[bytes, bool]:
        return {line: is_first(line) for line in lines}

    def is_first_for_sure(line: bytes) -> bool:
        try:
            return bounded.attempt(is_first, line)
        except SearchTooLongError:
            return True

    def prepare(lines: list[bytes]) -> None:
        nonlocal firsts
        try:
            firsts = bounded.attempt(which_are_first, lines)
        except SearchTooLongError:
            firsts = {line: is_first_for_sure(line) for line in lines}

    def goes_on(line: bytes, first: bool) -> bool:  # noqa: FBT001 - Joiner's signature
        return first or not firsts[line]

    return Joiner(goes_on, lambda _lines: True, longest, prepare)


def _by_language(machines: tuple[Mapping[str, _State], ...]) -> Callable[[bytes, bool], bool | None]:
    """Lines that begin a trace are held, and those that may follow in it; all others pass."""
    active: list[tuple[Mapping[str, _State], str]] = []

    def goes_on(line: bytes, first: bool) -> bool | None:  # noqa: FBT001 - Joiner's signature
        nonlocal active
        candidates = [(machine, "start") for machine in machines] if first else active
        active = [
            (machine, following)
            for machine, state in candidates
            if (following := _next(machine[state], line)) is not None
        ]
        return True if active else None

    return goes_on


def _next(state: _State, line: bytes) -> str | None:
    return next((name for pattern, name in state if _compiled(pattern).match(line)), None)
