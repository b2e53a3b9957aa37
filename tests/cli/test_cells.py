"""Pieces of monit's lines: how wide they are, and where they break."""

import pytest

from pidone.cli.operate.monit.charset import encoder, in_ascii
from pidone.logs.formats import widths


@pytest.mark.parametrize("columns", [1, 2, 7, 12, 40])
@pytest.mark.parametrize(
    "text",
    ["", "a", "one two three", "a-word-that-is-longer-than-any-line", "日本語 の 長い文字列です", "x " * 30],
)
def test_words_fit_and_none_is_lost(text: str, columns: int) -> None:
    """Broken between words, else within them."""
    lines = widths.words(text, columns, max(1, columns // 2))
    assert all(widths.width(line) <= max(columns, 2) for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_name_keeps_its_end() -> None:
    """Which says which instance it is."""
    assert widths.middle("short:0", 10) == "short:0"
    assert widths.middle("a-long-name-of-an-app:12", 12) == "a-long-…p:12"
    assert widths.width(widths.middle("日本語" * 9, 12)) <= 12


@pytest.mark.parametrize("columns", [6, 20, 40])
@pytest.mark.parametrize(
    "text",
    [
        "why          the database at db:5432 refuses",
        "why          データベースは何処にもありません、確認してください (db)",
        "name         日本語 e\u0301a\u0308 Z\u0351\u036b\u0343 👍🏽 🇩🇪 שלום עולם " + "長" * 50,
    ],
)
def test_wrapped_lines_fit_and_nothing_is_lost(text: str, columns: int) -> None:
    """By columns; what stands between words on one line stays."""
    lines = widths.wrap(text, columns, "  ")
    assert all(widths.width(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert text.startswith(lines[0])


@pytest.mark.parametrize("most", range(1, 12))
@pytest.mark.parametrize("text", ["e\u0301a\u0308" * 9, "長い" * 9, "👍🏽🇩🇪" * 9, "שלום" * 9])
def test_what_is_cut_fits(text: str, most: int) -> None:
    """Marks stay with what they are on."""
    for cut in (widths.cut(text, most), widths.middle(text, most)):
        assert widths.width(cut) <= most
        assert "…\u0301" not in cut
        assert widths.width(widths.pad(text, most)) == most


def test_ascii_is_as_wide() -> None:
    """For locales without UTF-8."""
    for text in ("── log of 日本語 ▾ … ┃ ▁▂▃█", "plain", "é ü 😀"):
        assert len(in_ascii(text)) == widths.width(text)
    assert encoder({"LANG": "de_DE.ISO-8859-15@euro"}) is in_ascii
    assert encoder({"LC_ALL": "", "LANG": "C.UTF-8"}) is str.encode
    assert encoder({}) is str.encode
