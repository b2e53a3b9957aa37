"""The table of docs/platforms.md, out of what each cell has shown the last time that it was played."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

BEGIN: Final = "<!-- what follows is written by `make test-platforms` -->\n"
END: Final = "<!-- until here -->\n"
_HEAD: Final = "| where | when | result | without | command |\n|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Row:
    """One cell."""

    where: str
    date: str
    held: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by the case."""
    degraded: list[str] = field(default_factory=list)
    """What pidone has said that it does without there."""
    missing: str = ""
    """Why the cell could not be had."""

    @property
    def result(self) -> str:
        """In a few words."""
        if self.missing and not self.held and not self.failed:
            return f"missing: {self.missing}"
        all_of_it = len(self.held) + len(self.failed)
        if not self.failed and not self.missing:
            return f"all {all_of_it} cases hold"
        failed = "; ".join(f"{case} ({why[:120]})" for case, why in self.failed.items())
        broken = f"; broken off: {self.missing}" if self.missing else ""
        return f"{len(self.held)} of {all_of_it} cases hold; not: {failed or 'none'}{broken}"

    def line(self) -> str:
        """As a line of the table."""
        without = "; ".join(sorted({told.partition(":")[0] for told in self.degraded})) or "nothing"
        command = f"python -m platforms.session '{self.where}'"
        values = (self.where, self.date, self.result, without, f"`{command}`")
        return "| " + " | ".join(value.replace("|", "\\|").replace("\n", " ") for value in values) + " |\n"


def keep(row: Row, file: Path, *, whole: bool) -> None:
    """Remember a row in the place of an earlier one, or only what it says of its cases."""
    known = json.loads(file.read_text()) if file.exists() else {}
    if not whole and row.where in known:
        row = _joined(Row(**known[row.where]), row)
    known[row.where] = asdict(row)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known, indent=1))


def _joined(known: Row, played: Row) -> Row:
    if not played.held and not played.failed:  # broken off before anything was seen
        return known
    again = {*played.held, *played.failed}
    failed = {case: why for case, why in known.failed.items() if case not in again}
    return Row(
        where=known.where,
        date=played.date,
        held=[*(case for case in known.held if case not in again), *played.held],
        failed={**failed, **played.failed},
        degraded=sorted({*known.degraded, *played.degraded}),
        missing=played.missing,
    )


def write(page: Path, file: Path, order: list[str]) -> None:
    """Put what is known into the page; a cell that has never been played is told as such."""
    known = json.loads(file.read_text()) if file.exists() else {}
    rows = [
        Row(**known[name]) if name in known else Row(name, "never", missing="not played") for name in order
    ]
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + BEGIN + _HEAD + "".join(row.line() for row in rows) + END + after)
