"""Keys as a terminal sends them, and as they were meant."""

import pytest

from pidone.cli.operate.monit.typed import Typed

PASTE = ["begin paste", *"Dy", "enter", "end paste"]


@pytest.mark.parametrize(
    ("sent", "is_text", "meant"),
    [
        (["j", "j", "up"], False, ["j", "j", "up"]),
        (["meta q"], False, ["esc", "q"]),
        (["meta up"], False, ["esc", "up"]),
        (["esc", "q"], False, ["esc", "q"]),
        (["esc", "[", "D"], False, ["esc"]),
        (["esc", "O", "S"], False, ["esc"]),
        (["meta O", "S", "S"], False, ["esc", "S"]),
        (["esc", "[", "1", ";", "5", "D", "D"], False, ["esc", "D"]),
        (["esc", "[", "up", "D"], False, ["esc", "up", "D"]),
        (["O", "[", "D"], False, ["O", "[", "D"]),
        ([*PASTE, "j"], False, ["j"]),
        ([*PASTE, "j"], True, ["D", "y", "j"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_was_meant(sent: list[str], is_text: bool, meant: list[str]) -> None:  # noqa: FBT001
    """Esc and a key are two, a sequence that is cut is none, and what is pasted is text."""
    typed = Typed(lambda: 0.0)
    assert [key for each in sent for key in typed.keys(each, is_text=is_text)] == meant


def test_after_a_while_each_key_is_one_again() -> None:
    """Esc, and a second later `O`."""
    now = 0.0
    typed = Typed(lambda: now)
    assert [*typed.keys("esc", is_text=False)] == ["esc"]
    now += 1.0
    assert [*typed.keys("O", is_text=False)] == ["O"]
    assert [*typed.keys("esc", is_text=False)] == ["esc"]
    assert [*typed.keys("[", is_text=False)] == []
    now += 1.0
    assert [*typed.keys("D", is_text=False)] == ["D"]
