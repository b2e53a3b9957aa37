"""The variables an app gets: files, sets, secrets and references, merged in PM2's order."""

import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pidone.ecosystem import dotenv
from pidone.ecosystem.files import read_for_app
from pidone.ecosystem.problems import Scope, shown
from pidone.ecosystem.references import template
from pidone.ecosystem.spec import Template
from pidone.ecosystem.values.tables import EnvFile
from pidone.record import EMPTY

_LARGEST_FILE: Final = 1024 * 1024


class EnvironmentLayer(NamedTuple):
    """The result: what is laid over the runtime's own environment, and which of it is never shown."""

    variables: dict[str, str]
    secrets: tuple[str, ...] = ()
    templates: Mapping[str, Template] = EMPTY


def layer(variables: Mapping[str, str], secrets: tuple[str, ...]) -> EnvironmentLayer:
    """All together, with what is left to the instances shown as it was written."""
    found = {name: template(value) for name, value in variables.items()}
    templates = {name: each for name, each in found.items() if each is not None}
    written = {name: str(each) for name, each in templates.items()}
    return EnvironmentLayer({**variables, **written}, secrets, templates or EMPTY)


def read_env_files(
    files: Sequence[EnvFile], base: Path, environ: Mapping[str, str], scope: Scope
) -> dict[str, str]:
    """The variables of dotenv files, later ones over earlier ones.

    A missing file is an error in our dialect. PM2 reads none of them, and its users' images often have none.
    """
    found: dict[str, str] = {}
    for name, required in files:
        try:
            found |= dotenv.parse(_read(base / name), {**environ, **found})
        except OSError as error:
            may_be_missing = not required or not scope.problems.document.strict
            say = scope.warn if isinstance(error, FileNotFoundError) and may_be_missing else scope.error
            say(f"env_file = {shown(name)}: cannot be read: {error.strerror}", "env_file")
        except dotenv.DotenvError as error:
            scope.error(f"env_file = {shown(name)}: {error}", "env_file")
    return found


def read_secrets(
    wanted: bool | Mapping[str, str | None],  # noqa: FBT001  # `true` is a value of the key
    own: Mapping[str, str],
    environ: Mapping[str, str],
    base: Path,
    scope: Scope,
) -> dict[str, str]:
    """Variables whose values stand in files: `NAME` from what `NAME_FILE` names (Docker's convention)."""
    found: dict[str, str] = {}
    if wanted is False:  # as nearly always
        return found
    visible = {**environ, **own}
    for name, path in _secret_files(wanted, visible).items():
        source = path if path is not None else visible.get(f"{name}_FILE")
        if name in own and path is None:
            scope.warn(f"both {name} and {name}_FILE are set; {name} counts", "secrets")
        elif source is None:
            scope.error(f"secrets: {name} is wanted, but {name}_FILE is not set", "secrets")
        else:
            try:
                found[name] = _read(base / source).rstrip("\r\n")
            except OSError as error:
                scope.error(
                    f"secrets: {name} cannot be read from {shown(source)}: {error.strerror}", "secrets"
                )
    return found


def _secret_files(
    wanted: bool | Mapping[str, str | None],  # noqa: FBT001  # as above
    visible: Mapping[str, str],
) -> Mapping[str, str | None]:
    if not isinstance(wanted, bool):
        return wanted
    suffixed = [name for name, value in visible.items() if name.endswith("_FILE") and value.startswith("/")]
    # `true` takes whatever looks like one, but not the well-known variables that are about a file.
    return {
        name.removesuffix("_FILE"): None
        for name in suffixed
        if wanted and name != "_FILE" and name not in _NOT_SECRETS and os.path.isfile(visible[name])
    }


_NOT_SECRETS: Final = frozenset(
    {"SSL_CERT_FILE", "PIP_CERT_FILE", "CURL_CA_FILE", "BASH_SOURCE_FILE", "NODE_EXTRA_CA_CERTS_FILE"}
)


def _read(path: Path) -> str:
    """A small text file. Raises OSError also for what is too long or holds a NUL."""
    text = read_for_app(path, _LARGEST_FILE + 1)
    if len(text) > _LARGEST_FILE:
        raise OSError(0, f"is larger than {_LARGEST_FILE} bytes")
    if b"\0" in text:
        raise OSError(0, "holds a NUL character")
    return text.decode(errors="replace")


def home_of(environ: Mapping[str, str]) -> str:
    """HOME, or else what the passwd file says, or / where nobody knows."""
    if environ.get("HOME"):
        return environ["HOME"]
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a random uid, as on OpenShift
        return os.sep
