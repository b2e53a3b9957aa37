"""Whether the Node of an app takes the options by which a worker that hangs tells its stack."""

from collections.abc import Callable

OPTIONS = "--inspect-port=127.0.0.1:0 --inspect-publish-uid=stderr"
"""At any free port, as several may hang at once; and nobody is told its address over HTTP."""
REFUSED = 9
"""Node's exit code for options that it does not take: https://nodejs.org/api/process.html#exit-codes."""


class Inspector:
    """What the workers of one app have shown.

    One that ends with REFUSED and has said nothing has not begun. That may be because of an option of the
    user's: then it does not begin without ours either.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        """`tell` is called when a worker begins that had to do without; more than once."""
        self._tell = tell
        self.is_taken = True
        """Whether the next worker is given the options."""

    def refused(self, *, had_options: bool) -> None:
        """A worker did not begin: the next one is tried the other way."""
        self.is_taken = not had_options

    def begun(self, *, had_options: bool) -> None:
        """A worker has said its first word."""
        if not had_options and not self.is_taken:
            self._tell()
