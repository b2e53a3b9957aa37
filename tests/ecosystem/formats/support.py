"""What the tests of formats share: the environment of the expected values, and documents as one value."""

from collections.abc import Callable
from typing import Any, Final

from pidone.ecosystem.document import Document

ENV: Final = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/app",
    "USER": "app",
    "NODE_ENV": "production",
    "A": "1",
    "B": "two\nlines",
    "EMPTY": "",
}
"""The environment in which the expected values were made."""

Reader = Callable[..., Document]
"""`read_files` of conftest.py."""


def everything(document: Document) -> dict[str, Any]:
    """A document in one comparable piece."""
    return {"apps": list(document.apps), **document.top}
