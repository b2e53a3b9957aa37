"""Messages straight to a descriptor: no buffers that a fork would copy, and nobody hurt if it is closed."""

import os


class Quit(Exception):  # noqa: N818 - not an error
    """The program is to end with `code`; everything has been said."""

    def __init__(self, code: int) -> None:
        self.code = code


def complain(message: str) -> None:
    """One message on stderr, whatever it is made of and whether or not stderr is there."""
    shown = (each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in message)
    say(2, f"pidone: {''.join(shown)}\n")


def say(descriptor: int, text: str) -> None:
    """Write all of `text`; what cannot be written is lost, since there is nobody else to tell."""
    data = os.fsencode(text)
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except OSError:
            return
