"""PM2's top-level `static`: each entry is an app that serves a folder."""

from collections.abc import Mapping
from typing import Any, Final

from pidone.ecosystem.app import Reader
from pidone.ecosystem.entries import Entry, parse_value
from pidone.ecosystem.problems import Scope, shown
from pidone.ecosystem.programs.serving import DEFAULT_PORT, PORT, SCRIPT, VARIABLES
from pidone.ecosystem.spec import AppSpec
from pidone.ecosystem.values import Invalid, ValueKind, WrongValue, tables
from pidone.ecosystem.values.kinds import BOOL, STRING
from pidone.ecosystem.values.tables import parse_table, table_schema
from pidone.masking import MASK

_LOGIN_MEMBERS: Final = {"username": STRING, "password": STRING}


def _parse_login(value: object) -> Mapping[str, str] | None:
    """User and password; nothing of them appears in an error."""
    if value is None or value is False:
        return None
    try:
        found = parse_table(value, _LOGIN_MEMBERS)
    except Invalid as invalid:
        hidden = [wrong._replace(value=MASK) for wrong in invalid.findings]
        raise Invalid("expected {username, password}", findings=hidden) from None
    missing = [WrongValue((name,), None, "is missing") for name in _LOGIN_MEMBERS if not found.get(name)]
    if missing:
        raise Invalid(findings=missing)
    if ":" in found["username"]:
        raise Invalid(findings=[WrongValue(("username",), MASK, "expected a name without a colon")])
    return found


_LOGIN: Final = ValueKind(
    "table of username and password",
    _parse_login,
    {"anyOf": [table_schema(_LOGIN_MEMBERS), {"const": False}]},
)
MEMBERS: Final[Mapping[str, ValueKind]] = {
    "path": STRING,
    "port": PORT,
    "host": STRING,
    "spa": BOOL,
    "ftp": BOOL,
    "directory": BOOL,
    "basic_auth": _LOGIN,
}
"""What PM2 takes; an entry may have any other key of an app as well."""
_VARIABLE_OF: Final = {
    "path": "PATH",
    "port": "PORT",
    "host": "HOST",
    "spa": "SPA",
    "ftp": "FTP",
    "directory": "DIRECTORY",
}
IGNORED: Final = "monitor"
"""PM2's cloud, which would put a script of its own into every page."""


def entries(top: Mapping[str, object]) -> list[object]:
    """What `static` holds; one table needs no list."""
    found = top.get("static")
    if found is None:
        return []
    return [*found] if isinstance(found, list | tuple) else [found]


def read(reader: Reader) -> list[tuple[AppSpec, Scope]]:
    """The apps of all entries, and where each stands. Problems are reported."""
    place = reader.top.at("static")
    apps = []
    for index, entry in enumerate(entries(reader.document.top)):
        if not isinstance(entry, Mapping):
            place.wrong(f"static[{index}]", entry, "expected a table with path and port")
            continue
        named = entry.get("name")
        label = shown(named) if isinstance(named, str) and named else f"#{index + 1}"
        scope = place.at(index, f"static {label}: ")
        apps.append((_app(reader, {str(name): value for name, value in entry.items()}, scope), scope))
    return apps


def _app(reader: Reader, raw: Mapping[str, object], scope: Scope) -> AppSpec:
    entry = reader.expanded(raw, scope)
    if IGNORED in entry:
        reader.ignored.add(IGNORED)
    values = {
        name: value
        for name, kind in {**MEMBERS, "env": tables.ENV}.items()
        if entry.get(name) is not None
        and (value := parse_value(kind, Entry(name, entry[name]), scope)) is not None
    }
    app = reader.read_expanded(_app_of(entry, values), scope, also_known=MEMBERS)
    return app if ("port" in values) == ("port" in entry) else app.but(listen=())  # one error is enough


def _app_of(entry: Mapping[str, object], values: Mapping[str, Any]) -> Mapping[str, object]:
    """An entry as an app; `values` are its resolved members."""
    env = {
        VARIABLES + _VARIABLE_OF[name]: _text(value) for name, value in values.items() if name in _VARIABLE_OF
    }
    if login := values.get("basic_auth"):
        env |= {f"{VARIABLES}BASIC_AUTH": "true"}
        env |= {f"{VARIABLES}BASIC_AUTH_{name.upper()}": value for name, value in login.items()}
    rest = {name: value for name, value in entry.items() if name not in MEMBERS and name != IGNORED}
    name = f"static-page-server-{values.get('port', DEFAULT_PORT)}"
    return {
        "name": name,
        **rest,
        "script": SCRIPT,
        "env": {**env, **values.get("env", {})},
    }


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
