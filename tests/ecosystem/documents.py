"""Documents for tests, as `formats/` would hand them over."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pidone.ecosystem.document import Document
from pidone.ecosystem.load import resolve
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.errors import ConfigError

ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/home/app"}


def document(
    *apps: Mapping[str, Any], language: str = "toml", source: str | None = None, **top: object
) -> Document:
    """A document with these apps and top-level keys."""
    path = Path(source) if source else Path(f"ecosystem.{language}")
    return Document(apps=apps, top=top, source=path, language=language)


def options(**changes: Any) -> LoadOptions:
    """Options that depend on nothing of this machine."""
    return LoadOptions(**{"environ": ENVIRON, "cwd": Path("/"), "must_exist": False, **changes})


def read(
    *apps: Mapping[str, Any], language: str = "toml", top: Mapping[str, Any] | None = None, **changes: Any
) -> Ecosystem:
    """The ecosystem of these apps."""
    return resolve(document(*apps, language=language, **(top or {})), options(**changes))


def app(language: str = "toml", /, **keys: Any) -> AppSpec:
    """The spec of an app with these keys; `script` may be left out."""
    return read({"script": "/bin/true", **keys}, language=language).apps[0]


def refused(*apps: Mapping[str, Any], **changes: Any) -> list[str]:
    """The lines of the ConfigError that these apps end in."""
    with pytest.raises(ConfigError) as caught:
        read(*apps, **changes)
    return str(caught.value).split("\n")


def wrong(**keys: Any) -> list[str]:
    """The lines of the ConfigError of one app with these keys."""
    return refused({"script": "/bin/true", "name": "api", **keys})
