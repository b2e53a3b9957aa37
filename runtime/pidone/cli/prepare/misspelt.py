"""A first word that is neither a file nor a program, and looks like a command."""

import os
from collections.abc import Mapping, Sequence

from pidone.cli.registry import COMMANDS
from pidone.errors import UsageError

_ALSO = ("exec", "start")
_NEARNESS = 0.7
"""So that `lss` is `ls`, and the name of a file somebody forgot to make is not some command."""


def refuse_behind_options(target: str | None, words: Sequence[str], cwd: str) -> None:
    """Refuse `pidone --socket X ls`, which would start a program called `ls`. Raises UsageError."""
    if target in COMMANDS and words[0] != target and not os.path.exists(os.path.join(cwd, target)):
        raise UsageError(
            f"{target}: a command comes before its options: pidone {target} {words[0]} ..."
            f" (pidone -- {target} would start the program)"
        )


def refuse_misspelt(words: Sequence[str], cwd: str, environ: Mapping[str, str]) -> None:
    """Refuse a start whose first word is a misspelt command. Raises UsageError."""
    word = words[0] if words else ""
    if not word.isalpha() or os.path.exists(os.path.join(cwd, word)):
        return
    # Rarely come to, and as much to import as the rest of a start's reading.
    import shutil
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), [*COMMANDS, *_ALSO], n=1, cutoff=_NEARNESS)
    if shutil.which(word, path=environ.get("PATH")):
        return
    if near:
        raise UsageError(f'{word}: no such file or command; did you mean "pidone {near[0]}"?')
    if len(words) > 1 and words[1] != "--":
        raise UsageError(f"{word}: no such file, no command of pidone, and no program on PATH")
