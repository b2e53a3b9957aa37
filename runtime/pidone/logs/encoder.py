"""Lines to records: a whole chunk at once where its lines are alike, line by line only where they are not."""

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Final

from pidone.ecosystem.spec import Bytes
from pidone.logs import levels
from pidone.logs.escape import JOINT, utf8
from pidone.logs.formats.shape import ObjectLines, Shape
from pidone.logs.lines import character_boundary, has_longer

SLACK: Final = 8
r"""Bytes beyond the limit before an unfinished line is cut: a UTF-8 character or `\r\n` may be incomplete."""
_LEAST_ROOM: Final = 64


def _seem_objects(lines: Sequence[bytes]) -> list[bool]:
    """What is right for most lines, in a tenth of the time."""
    return [line[:1] == b"{" and line[-1:] == b"}" for line in lines]


class Encoder:
    """Encodes one stream; only a line longer than `max_line` leaves a state behind."""

    def __init__(self, shape: Shape, *, level: str, max_line: Bytes) -> None:
        """`level` is for lines that do not tell theirs; `max_line` is the size of a whole record."""
        self._shape = shape
        self._level = level
        self._max_record = max(max_line, shape.least_line)
        prefix, suffix = shape.around("0000-00-00T00:00:00.000Z", "warning", True)
        self._room = max(self._max_record - len(prefix) - len(suffix) - 1, _LEAST_ROOM)
        self._open_level = ""

    @property
    def room(self) -> Bytes:
        """Escaped text that fits into one record."""
        return self._room

    def encode(self, lines: bytes, timestamp: str) -> bytes:
        r"""Records for whole lines, each ended by `\n`."""
        if self._shape.verbatim and not has_longer(lines, self._room):
            return lines
        if self._shape.merger and b"{" in lines and (lines.startswith(b"{") or b"\n{" in lines):
            return self._merged(self._shape.merger, lines, timestamp)
        return self._by_level(lines, timestamp)

    def encode_open(self, line: bytes, timestamp: str) -> tuple[bytes, bytes, bytes]:
        """Partial records for as much of an unfinished line as is too long anyway.

        Where the cuts are depends on the line alone and not on how it arrived.

        Returns:
            The records, the text that is in them, and the rest of the line.
        """
        whole = character_boundary(line, len(line))
        text = line[:whole] if self._shape.verbatim else utf8(line[:whole])
        pieces: list[bytes] = []
        done = 0
        while len(text) - done > self._room + SLACK:
            if not self._open_level:
                self._open_level = levels.of_line(text[: self._room], self._level)
            count = self._fitting(text[done : done + self._room + SLACK])
            pieces.append(self._record(text[done : done + count], timestamp, self._open_level, partial=True))
            done += count
        return b"".join(pieces), text[:done], text[done:] + line[whole:]

    def encode_end(self, line: bytes, timestamp: str) -> bytes:
        r"""The last record of a line that began with `encode_open`; `line` is its rest, ended by `\n`."""
        level, self._open_level = self._open_level, ""
        return self._framed(line, timestamp, level)

    def _merged(self, merger: ObjectLines, lines: bytes, timestamp: str) -> bytes:
        """Among the lines there may be JSON objects."""
        level, most = self._level, self._max_record
        if lines.startswith(b"{") and (all_merged := merger.records(lines, timestamp, level, most)):
            return all_merged
        each = lines[:-1].split(b"\n")
        records, apart = self._merged_together(merger, each, timestamp)
        for at, record in zip(apart, self._one_by_one(merger, apart, each, timestamp), strict=True):
            records.insert(at, record)
        return b"\n".join(records) + b"\n"

    def _merged_together(
        self, merger: ObjectLines, each: Sequence[bytes], timestamp: str
    ) -> tuple[list[bytes], Sequence[int]]:
        """The records of lines that are objects of one kind, and which lines are left for `_one_by_one`.

        What else there is: no JSON any more, since a secret was hidden with its quotes, or no JSON ever.
        """
        if not has_longer(b"\n".join(each), self._room):
            for told in (_seem_objects, merger.are_objects):
                are_objects = told(each)
                objects = [*compress(each, are_objects)]
                if 0 < len(objects) < len(each) and (
                    together := merger.records(
                        b"\n".join(objects) + b"\n", timestamp, self._level, self._max_record
                    )
                ):
                    apart = [at for at, is_object in enumerate(are_objects) if not is_object]
                    return together[:-1].split(b"\n"), apart
        return [], range(len(each))

    def _one_by_one(
        self, merger: ObjectLines, which: Sequence[int], each: Sequence[bytes], timestamp: str
    ) -> list[bytes]:
        """The record or records of each of these lines, without the last line end."""
        lines = [each[at] for at in which]
        records: list[bytes] = []
        others: list[int] = []
        for number, line in enumerate(lines):
            record = merger.record(line, timestamp, self._level) if line.startswith(b"{") else None
            if record is None or len(record) > self._max_record or len(line) > self._room:
                others.append(number)
            records.append((record or b"")[:-1])
        if others:
            told = self._each_by_level([lines[number] for number in others], timestamp)
            for number, record in zip(others, told, strict=True):
                records[number] = record
        return records

    def _each_by_level(self, lines: Sequence[bytes], timestamp: str) -> list[bytes]:
        """The record or records of each line that is text, without the last line end."""
        together = self._by_level(b"\n".join(lines) + b"\n", timestamp)[:-1].split(b"\n")
        if len(together) == len(lines):
            return together
        return [self._by_level(line + b"\n", timestamp)[:-1] for line in lines]

    def _by_level(self, lines: bytes, timestamp: str) -> bytes:
        """Lines that are text, each with the level it tells."""
        beginnings = lines
        if has_longer(lines, self._room):  # as if they had come in pieces: the first one tells
            beginnings = b"".join(line[: self._room] + b"\n" for line in lines[:-1].split(b"\n"))
        told = levels.of_lines(beginnings, self._level)
        if isinstance(told, str):
            return self._framed(lines, timestamp, told)
        text = self._shape.escape(lines)[:-1].split(b"\n")
        if max(map(len, text)) > self._room:
            return self._cut_all(lines, timestamp, told)
        frames = {level: self._shape.around(timestamp, level, False) for level in set(told)}
        _, suffix = frames[told[0]]
        heads = {level: suffix + b"\n" + prefix for level, (prefix, _) in frames.items()}
        parts = [suffix + b"\n"] * (2 * len(text) + 1)
        parts[:-1:2] = map(heads.__getitem__, told)
        parts[1::2] = text
        parts[0] = frames[told[0]][0]
        return self._with_joints(b"".join(parts))

    def _framed(self, lines: bytes, timestamp: str, level: str) -> bytes:
        """Lines of one level."""
        escaped = self._shape.escape(lines)
        if has_longer(escaped, self._room):
            return self._cut_all(lines, timestamp, [level] * lines.count(b"\n"))
        prefix, suffix = self._shape.around(timestamp, level, False)
        framed = escaped[:-1].replace(b"\n", suffix + b"\n" + prefix)
        return self._with_joints(b"".join((prefix, framed, suffix, b"\n")))

    def _cut_all(self, lines: bytes, timestamp: str, told: Iterable[str]) -> bytes:
        """Lines among which there are some that are too long."""
        each = zip(lines[:-1].split(b"\n"), told, strict=True)
        return b"".join(self._cut(line, timestamp, level) for line, level in each)

    def _cut(self, line: bytes, timestamp: str, level: str) -> bytes:
        """One line as one record, or as several of which all but the last say that they are partial."""
        pieces: list[bytes] = []
        while len(self._shape.escape(line)) > self._room:
            count = self._fitting(line[: self._room + SLACK])
            pieces.append(self._record(line[:count], timestamp, level, partial=True))
            line = line[count:]
        pieces.append(self._record(line, timestamp, level, partial=False))
        return b"".join(pieces)

    def _record(self, text: bytes, timestamp: str, level: str, *, partial: bool) -> bytes:
        prefix, suffix = self._shape.around(timestamp, level, partial)
        record = b"".join((prefix, self._shape.escape(text), suffix, b"\n"))
        return record if self._shape.verbatim else self._with_joints(record)

    def _fitting(self, text: bytes) -> int:
        """How many bytes of `text` fit into one record after escaping, at least one character."""
        count = character_boundary(text, self._room)
        while count > 1 and (size := len(self._shape.escape(text[:count]))) > self._room:
            count = character_boundary(text, max(min(count - 1, count * self._room // size), 1)) or 1
        return count

    def _with_joints(self, records: bytes) -> bytes:
        """The lines of a joined message, where the format has not made something else of their ends."""
        return records.replace(JOINT, self._shape.joint) if JOINT in records else records
