"""Wrong inputs of the kind people make, each with its message: file, line, key, value and the way out.

The table is `test_wrong_inputs.jsonl`, one input a line; FOLDER stands for where the test runs. `words`
are the warnings and notices on an input that is taken nevertheless; `is_bytes`: each character is one byte.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pidone.ecosystem.load import examine_file
from pidone.ecosystem.options import LoadOptions
from pidone.errors import ConfigError

TABLE = [json.loads(line) for line in Path(__file__).with_suffix(".jsonl").read_text().splitlines()]
AT_LEAST = 300
MOST_WORDS = 360


def told(folder: Path, row: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Every error of a file with this text, and what is said of one that is good nevertheless."""
    (folder / row["file"]).write_bytes(row["text"].encode("latin-1" if row.get("is_bytes") else "utf-8"))
    (folder / "plain").write_text("x")
    how = LoadOptions(environ={"PATH": "/usr/bin:/bin"}, cwd=folder)
    try:
        examined = examine_file(Path(row["file"]), how)
    except ConfigError as error:
        return str(error).split("\n"), []
    return [*examined.errors], [*examined.ecosystem.warnings, *examined.ecosystem.notices]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['file']}: {row['text'].splitlines()[-1:]}"[:60])
def test_the_message(row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly this one."""
    monkeypatch.chdir(tmp_path)
    errors, words = told(tmp_path, row)
    assert [line.replace(str(tmp_path), "FOLDER") for line in errors] == row["messages"]
    if "words" in row:
        assert [line.replace(str(tmp_path), "FOLDER") for line in words] == row["words"]


def test_the_table_is_long_and_its_messages_are_good() -> None:
    """Each begins with the file, nearly all with a line; none is a traceback or very long."""
    assert len(TABLE) >= AT_LEAST
    messages = [(row, message) for row in TABLE for message in row["messages"]]
    for row, message in messages:
        assert message.startswith(row["file"])
        assert not re.search("Traceback|internal error", message)
        assert len(message) < MOST_WORDS
    with_line = [message for row, message in messages if re.match(rf"{re.escape(row['file'])}:\d+", message)]
    assert len(with_line) > 0.85 * len(messages)
