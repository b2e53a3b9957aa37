"""What process 1 knows of a program that it must not look at."""

from collections.abc import Mapping

from pidone.record import EMPTY, Record


class RemoteProgram(Record, kw_only=True):
    """What was seen of an app's program when the ecosystem was read, by who could be waited for."""

    first_line: tuple[str, ...]
    """The words of it, if the program is a script."""
    gains_rights: bool
    """As `pidone.regular.gains_rights`."""
    real: Mapping[str, str] = EMPTY
    """What the first words of its command line lead to."""
