"""Signal names in every spelling people use."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidone.signames import parse_signal, signal_name

SIGNALS = sorted(int(number) for number in signal.valid_signals())


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigterm", 15),
        (" Int ", 2),
        ("15", 15),
        (9, 9),
        (signal.SIGHUP, 1),
        ("IO", signal.SIGIO),
        ("CLD", signal.SIGCHLD),
        ("SIGRTMIN", signal.SIGRTMIN),
        ("RTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMAX-1", signal.SIGRTMAX - 1),
        ("sigrtmax", signal.SIGRTMAX),
    ],
)
def test_spellings(text: str | int, number: int) -> None:
    """With or without SIG, in any case, as a number, and relative to the real-time range."""
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SIGTERMM", "unknown signal 'SIGTERMM'; did you mean SIGTERM?"),
        ("QIT", "did you mean SIGQUIT?"),
        ("#!?%&/", "unknown signal '#!.%&/'$"),
        ("", "unknown signal ''"),
        ("0", "there is no signal 0"),
        (-1, "there is no signal -1"),
        ("65", "there is no signal 65"),
        ("33", "there is no signal 33"),
        ("-9", "unknown signal '-9'"),
        ("RTMIN-1", "unknown signal"),
        ("RTMIN+99", "outside the real-time signals"),
        ("RTMAX-99", "outside the real-time signals"),
        ("TERM+1", "unknown signal"),
        ("SIG_DFL", "unknown signal"),
        ("1²", "unknown signal"),
        ("9" * 5000, "unknown signal"),
        (True, "True is not a signal"),
    ],
)
def test_what_is_not_a_signal_is_refused_with_a_reason(text: str | int, message: str) -> None:
    """The error names the text and, if one is near, the signal that may have been meant."""
    with pytest.raises(ValueError, match=message):
        parse_signal(text)


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_has_a_name_that_parses_back(number: int) -> None:
    """`signal_name` and `parse_signal` are each other's inverse."""
    assert parse_signal(signal_name(number)) == number
    assert parse_signal(signal_name(number).removeprefix("SIG").lower()) == number


def test_names() -> None:
    """Ordinary, real-time, and without a name."""
    assert signal_name(15) == "SIGTERM"
    assert signal_name(signal.SIGRTMIN) == "SIGRTMIN"
    assert signal_name(signal.SIGRTMIN + 3) == "SIGRTMIN+3"
    assert signal_name(33) == "SIG33"


@given(st.text())
def test_any_text_gives_a_valid_signal_or_a_value_error(text: str) -> None:
    """No input raises anything but ValueError, and nothing outside the kernel's signals is returned."""
    try:
        number = parse_signal(text)
    except ValueError:
        return
    assert number in SIGNALS


@given(st.integers())
def test_any_number_gives_itself_or_a_value_error(number: int) -> None:
    """Numbers pass through unchanged, or not at all."""
    if number in SIGNALS:
        assert parse_signal(number) == parse_signal(str(number)) == number
    else:
        with pytest.raises(ValueError, match="no signal"):
            parse_signal(number)
