"""What the image's Node can run by itself."""

import re
import subprocess
from pathlib import Path
from typing import Final

from pidone.ecosystem.helper_process import allow_a_process, allow_memory

_STRIPS: Final = (22, 18)
"""From this version on Node takes TypeScript as it is (23.6 and later too)."""
_STRIPS_IF_ASKED: Final = (22, 6)
_FLAG: Final = "--experimental-strip-types"
_PATIENCE_S: Final = 10


def typescript_flags(node: Path) -> tuple[str, ...] | None:
    """What a Node needs to run TypeScript; None if it cannot."""
    version = _version(node)
    if version >= (23, 6) or _STRIPS <= version < (23, 0):
        return ()
    return (_FLAG,) if version >= _STRIPS_IF_ASKED else None


def _version(node: Path) -> tuple[int, int]:
    """(0, 0) if it does not say."""
    allow_a_process()
    try:
        told = subprocess.run(
            [node, "--version"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
            preexec_fn=allow_memory,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    version = re.match(r"v(\d+)\.(\d+)", told)
    return (int(version[1]), int(version[2])) if version else (0, 0)
