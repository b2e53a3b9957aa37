"""Command-line scanning exactly as glibc's getopt_long(3) does it, messages included.

The standard library has `getopt` too, but importing it takes longer than the command line is worth, and its
messages are not those that users of tini and dumb-init see.
"""

import os


class OptionError(Exception):
    """The command line cannot be used; the message lacks only the program's name in front."""


class Scan:
    """What a command line holds."""

    def __init__(
        self, args: list[str], short: str, long: dict[str, str] | None = None, *, permute: bool = False
    ) -> None:
        """Scan `args` up to the first error.

        Args:
            args: the command line without the program's name.
            short: option letters, each followed by `:` if it takes a value, as in getopt(3).
            long: long names and the letters they stand for.
            permute: find options after operands too, unless POSIXLY_CORRECT is set.
        """
        self._rest = list(args)
        self._short = short
        self._long = long or {}
        self._permute = permute and "POSIXLY_CORRECT" not in os.environ
        self.options: list[tuple[str, str]] = []
        """Letter and value of each option, in order."""
        self.operands: list[str] = []
        self.error: OptionError | None = None
        """What stopped the scan; the options before it count first, since one of them may be --help."""
        try:
            self._scan()
        except OptionError as error:
            self.error = error

    def _scan(self) -> None:
        while self._rest:
            word = self._rest.pop(0)
            if word == "--":
                break
            if word == "-" or not word.startswith("-"):
                self.operands.append(word)
                if self._permute:
                    continue
                break
            if self._long and word.startswith("--"):
                self._take_long(word[2:])
            else:
                self._take_letters(word[1:])
        self.operands += self._rest

    def _take_letters(self, letters: str) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in ":-" or letter not in self._short:
                raise OptionError(f"invalid option -- '{letter}'")
            if not self._takes_value(letter):
                self.options.append((letter, ""))
                continue
            if not letters and not self._rest:
                raise OptionError(f"option requires an argument -- '{letter}'")
            self.options.append((letter, letters or self._rest.pop(0)))
            return

    def _take_long(self, text: str) -> None:
        name, has_value, value = text.partition("=")
        name = self._complete(name)
        letter = self._long[name]
        if has_value and not self._takes_value(letter):
            raise OptionError(f"option '--{name}' doesn't allow an argument")
        if not has_value and self._takes_value(letter):
            if not self._rest:
                raise OptionError(f"option '--{name}' requires an argument")
            value = self._rest.pop(0)
        self.options.append((letter, value))

    def _complete(self, name: str) -> str:
        if name in self._long:
            return name
        possible = [candidate for candidate in self._long if candidate.startswith(name)]
        if not possible:
            raise OptionError(f"unrecognized option '--{name}'")
        if len(possible) > 1:
            choices = " ".join(f"'--{candidate}'" for candidate in possible)
            raise OptionError(f"option '--{name}' is ambiguous; possibilities: {choices}")
        return possible[0]

    def _takes_value(self, letter: str) -> bool:
        return f"{letter}:" in self._short
