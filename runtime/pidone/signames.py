"""Signal names as people write them, to numbers and back."""

from pidone.csignal import signal

_ALIASES = ("SIGCLD", "SIGIOT", "SIGPOLL")
"""Older names for SIGCHLD, SIGABRT and SIGIO: understood, never shown."""

_shown: dict[int, str] = {}
"""Names that were asked for: a stop asks for the same one of each instance."""


def parse_signal(value: str | int) -> int:
    """The number of `TERM`, `SIGTERM`, `15`, `15` as an int, `RTMIN+3` or `SIGRTMAX-1`, in any case.

    Raises:
        ValueError: the message says what was wrong and offers the nearest name.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a signal")  # noqa: TRY004 - one kind of error for callers to catch
    number = value if isinstance(value, int) else _number(value)
    if number not in signal.valid_signals():
        raise ValueError(f"there is no signal {number}")
    return int(number)


def signal_name(number: int) -> str:
    """`SIGTERM`, `SIGRTMIN+3`; `SIG33` for numbers that have no name."""
    if number not in _shown:
        _shown[number] = _name(number)
    return _shown[number]


def _name(number: int) -> str:
    if signal.SIGRTMIN < number <= signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    for name, known in names().items():
        if known == number and name not in _ALIASES:
            return name
    return f"SIG{number}"


def names() -> dict[str, int]:
    """Every name of a signal on this system, with its number."""
    return {
        name: int(getattr(signal, name))
        for name in dir(signal)
        if name.startswith("SIG") and not name.startswith("SIG_")
    }


def _number(text: str) -> int:
    name = text.strip().upper()
    if _is_decimal(name):
        return int(name)
    name = name if name.startswith("SIG") else f"SIG{name}"
    base, sign, offset = name.partition("+" if "+" in name else "-")
    if sign and _is_decimal(offset) and (base, sign) in (("SIGRTMIN", "+"), ("SIGRTMAX", "-")):
        number = names()[base] + int(sign + offset)
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
        raise ValueError(f"{text!r} is outside the real-time signals SIGRTMIN..SIGRTMAX")
    if name not in names():
        raise ValueError(f"unknown signal {text!r}{_suggestion(name)}")
    return names()[name]


def _is_decimal(text: str) -> bool:
    # The length keeps int() away from its limit of 4300 digits, which has a message of its own.
    return text.isascii() and text.isdigit() and len(text) <= 4


def _suggestion(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only an error needs it

    close = get_close_matches(name.removeprefix("SIG"), [known.removeprefix("SIG") for known in names()], n=1)
    return f"; did you mean SIG{close[0]}?" if close else ""
