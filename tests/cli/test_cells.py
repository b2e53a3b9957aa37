"""Pieces of monit's lines: how wide they are, and where they break."""

import pytest

from pidone.cli.operate.monit import cells
from pidone.cli.operate.monit.charset import encoder, in_ascii


@pytest.mark.parametrize("columns", [1, 2, 7, 12, 40])
@pytest.mark.parametrize(
    "text",
    ["", "a", "one two three", "a-word-that-is-longer-than-any-line", "日本語 の 長い文字列です", "x " * 30],
)
def test_words_fit_and_none_is_lost(text: str, columns: int) -> None:
    """Broken between words, else within them."""
    lines = cells.words(text, columns, max(1, columns // 2))
    assert all(cells.width(line) <= max(columns, 2) for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_name_keeps_its_end() -> None:
    """Which says which instance it is."""
    assert cells.middle("short:0", 10) == "short:0"
    assert cells.middle("a-long-name-of-an-app:12", 12) == "a-long-…p:12"
    assert cells.width(cells.middle("日本語" * 9, 12)) <= 12


def test_ascii_is_as_wide() -> None:
    """For locales without UTF-8."""
    for text in ("── log of 日本語 ▾ … ┃ ▁▂▃█", "plain", "é ü 😀"):
        assert len(in_ascii(text)) == cells.width(text)
    assert encoder({"LANG": "de_DE.ISO-8859-15@euro"}) is in_ascii
    assert encoder({"LC_ALL": "", "LANG": "C.UTF-8"}) is str.encode
    assert encoder({}) is str.encode
