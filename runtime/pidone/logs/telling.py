"""Which line of what a program wrote tells most of why it failed.

Programs print that in their own ways: Python ends with it, Node, Java, .NET and Ruby begin with it and go on
with a stack, Go and Rust add advice and goroutines.
"""

import re
from collections.abc import Sequence
from typing import Final

_MOST_CHARACTERS: Final = 240
_NOISE: Final = re.compile(
    r"\s"  # a stack, a snippet of source
    r"|[\^~=*#{}()\[\];.-]*$"
    r"|Node\.js v|Emitted '|note: |hint: see above|goroutine \d|exit status \d|created by |main\.main\("
    r"|npm (?:ERR!|error)|Stack trace:|#\d|Traceback |Thrown at:|Shutting down|Aborted|\+ "
)
_TROUBLE: Final = re.compile(
    r"(?i:\b(?:error|exception|fatal|panic|panicked|critical|cannot|can't|could not|couldn't|failed|failure|"
    r"refused|denied|not found|no such|missing|invalid|unable|undefined|already in use|out of memory|"
    r"segmentation fault|core dumped|timed? ?out)\b)"
    r"|[a-z](?:Error|Exception)\b|\bE[A-Z]{4,}\b"
)


def telling(lines: Sequence[str]) -> str:
    """The line that tells most: the last that speaks of trouble, else the last that says anything."""
    said = [(number, line) for number, line in enumerate(lines) if not _NOISE.match(line) and line.strip()]
    if not said:
        return ""
    number, line = next((each for each in reversed(said) if _TROUBLE.search(each[1])), said[-1])
    if line.rstrip().endswith(":") and number + 1 < len(lines):  # Rust's panics, some shells
        line = f"{line.rstrip()} {lines[number + 1].strip()}"
    return line.strip()[:_MOST_CHARACTERS]
