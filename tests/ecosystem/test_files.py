"""Files that are no ordinary ones."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pidone.ecosystem import files
from pidone.ecosystem.formats.javascript import host


@pytest.fixture
def seeming_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Says that it is a regular file, and has nothing to read just now: /proc/kmsg does, for root."""
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR)
    with monkeypatch.context() as patch:
        patch.setattr(stat, "S_ISREG", lambda _mode: True)
        yield path
    os.close(keeper)


def test_what_only_looks_like_a_file_is_read_as_what_it_is(
    seeming_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No end within the patience: said in words; what a JavaScript file reads is refused at once."""
    monkeypatch.setattr(files, "PATIENCE_S", 0.05)
    with pytest.raises(TimeoutError, match="did not end within"):
        files.read_file(seeming_file, 99)
    with pytest.raises(BlockingIOError):
        host._read_regular(str(seeming_file), 99)
