"""Values that ask whether something works: ports, probes, readiness."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pidone.ecosystem.spec import Listen, Probe, Readiness
from pidone.ecosystem.values import NUMBER, Invalid, ValueKind, fragments, kinds, parse_string, scalar_text
from pidone.ecosystem.values.kinds import BOOL, DURATION, STRING, WORDS, integer
from pidone.ecosystem.values.tables import parse_table, table_schema

# Ports ------------------------------------------------------------------------------------------------------

_PORT: Final = integer(0, 65535)
_LISTEN_EXPECTED: Final = 'expected a port, "HOST:PORT", "[IPv6]:PORT", "unix:/path", "fd:NAME", or a table'
_ADDRESS_EXPECTED: Final = 'expected a port, "HOST:PORT" or "[IPv6]:PORT"'
_LONGEST_UNIX_PATH: Final = 107  # sun_path of unix(7), less its NUL


def _parse_socket_name(value: object) -> str:
    """A name that fits `LISTEN_FDNAMES`: sd_listen_fds_with_names(3) separates names by colons."""
    text = parse_string(value)
    if not text or len(text) > 255 or ":" in text or not text.isprintable():
        raise Invalid("expected a name without colons")
    return text


_LISTEN: Final = {
    "name": ValueKind("text", _parse_socket_name, {"type": "string"}),
    "kind": kinds.choice("tcp", "udp", "unix"),
    "host": STRING,
    "port": _PORT,
    "path": STRING,
    "fd": ValueKind("text", _parse_socket_name, {"type": "string"}),
    "backlog": integer(1, 2**31 - 1),
}


def _parse_one_listen(value: object) -> Listen:
    if not isinstance(value, Mapping):
        return _listen_text(value)
    found = parse_table(value, _LISTEN)
    if "fd" in found:
        return _passed(found)
    path = found.pop("path", None)
    kind = found.get("kind", "unix" if path else "tcp")
    if kind == "unix":
        return _unix(path or found.get("host", ""), found)
    if path is not None or "port" not in found:
        raise Invalid("expected a port (or a path for unix)")
    name = found.pop("name", _port_name(found["port"], kind))
    return Listen(**{**found, "kind": kind, "name": name, "host": _host(found.get("host", ""))})


def _listen_text(value: object) -> Listen:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Invalid(_LISTEN_EXPECTED)
    text = scalar_text(value).strip() if not isinstance(value, str) else value.strip()
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"), {})
    if text.startswith("fd:"):
        return _passed({"fd": _parse_socket_name(text.removeprefix("fd:").strip())})
    text, slash, protocol = text.partition("/")
    if slash and protocol not in ("tcp", "udp"):
        raise Invalid(_LISTEN_EXPECTED)
    kind = protocol or "tcp"
    host, port = split_address(text, _LISTEN_EXPECTED)
    return Listen(name=_port_name(port, kind), kind=kind, host=host, port=port)


def _passed(found: Mapping[str, Any]) -> Listen:
    """A socket that pidone is started with: it is bound already, and only its name is ours."""
    others = [name for name in found if name not in ("fd", "name")]
    if others:
        raise Invalid(f"expected no {', '.join(others)} beside fd: whoever passes the socket has bound it")
    return Listen(name=found.get("name", found["fd"]), kind="fd", host=found["fd"])


def _port_name(port: int, kind: str) -> str:
    return str(port) if kind == "tcp" else f"{port}-{kind}"


def _unix(path: str, found: Mapping[str, Any]) -> Listen:
    path = path.removeprefix("//") if path.startswith("///") else path
    if not path or "\0" in path or len(path.encode(errors="replace")) > _LONGEST_UNIX_PATH:
        raise Invalid(f"expected a path of at most {_LONGEST_UNIX_PATH} bytes")
    name = (
        found.get("name")
        or path.rstrip("/").rpartition("/")[2].removesuffix(".sock").replace(":", "_")
        or "unix"
    )
    return Listen(name=name, kind="unix", host=path, backlog=found.get("backlog", 511))


def split_address(text: str, expected: str = _ADDRESS_EXPECTED) -> tuple[str, int]:
    """`HOST:PORT`, `[IPv6]:PORT`, `:PORT` or `PORT` as host (empty: any) and port. Raises Invalid."""
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise Invalid(expected if not port.isdecimal() else "expected a port from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise Invalid('expected an IPv6 address in brackets, such as "[::1]:80"')
    elif host.isdecimal():
        raise Invalid(
            f'expected one port, "{port}": which port of the host leads to it is the engine\'s matter'
        )
    return _host(host) if colon else "", int(port)


_HOST: Final = r"[A-Za-z0-9._:%\-]{0,253}"


def _host(host: str) -> str:
    host = "" if host == "*" else host
    if not re.fullmatch(_HOST, host):
        raise Invalid(_LISTEN_EXPECTED)
    return host


_PORT_SCHEMA: Final = {"type": "integer", "minimum": 0, "maximum": 65535}
_ADDRESS: Final = r"((\*|([0-9]*[A-Za-z._%\-][A-Za-z0-9._%\-]*)?|\[[A-Za-z0-9._:%\-]*\]):)?[0-9]{1,5}"
_ONE_LISTEN: Final = ValueKind(
    "port, address or table",
    _parse_one_listen,
    fragments.either(
        _PORT_SCHEMA,
        fragments.text(rf"unix:.+|fd:\s*[^:\s][^:]*|{_ADDRESS}(/(tcp|udp))?"),
        table_schema(_LISTEN),
    ),
)
LISTEN: Final = kinds.list_of(_ONE_LISTEN, _LISTEN_EXPECTED)


def _parse_address(value: object) -> str | None:
    if value is False or value in ("", "off", "none"):
        return None
    host, port = split_address(parse_string(value))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


ADDRESS: Final = ValueKind(
    "HOST:PORT",
    _parse_address,
    fragments.either(_PORT_SCHEMA, fragments.OFF, {"enum": ["", "off", "none"]}, fragments.text(_ADDRESS)),
)


# Probes -----------------------------------------------------------------------------------------------------


def _parse_http(value: object) -> str:
    """A URL, or a path on the app's own port; `3000/path` is a port of this machine."""
    text = parse_string(value)
    if found := re.fullmatch(r"(?://)?(\d{1,5})(/.*)?", text):
        text = f"http://127.0.0.1:{found[1]}{found[2] or '/'}"
    elif text.startswith("//"):
        text = f"http:{text}"
    if not text.startswith(("/", "http://", "https://")) or any(char.isspace() for char in text):
        raise Invalid('expected a path such as "/health", or a URL')
    return text


def _parse_tcp(value: object) -> str:
    host, port = split_address(parse_string(value))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return address if host else str(port)


def _parse_command(value: object) -> tuple[str, ...]:
    command: tuple[str, ...] = WORDS.parse(value)
    if not command:
        raise Invalid("expected a command")
    return command


_URL: Final = r"(//)?[0-9]{1,5}(/\S*)?|(https?:/)?/\S*"
_HTTP: Final = ValueKind(
    "path or URL", _parse_http, fragments.either({"type": "integer", "minimum": 0}, fragments.text(_URL))
)
_TCP: Final = ValueKind("HOST:PORT", _parse_tcp, fragments.either(_PORT_SCHEMA, fragments.text(_ADDRESS)))
EXEC: Final = ValueKind(
    "command",
    _parse_command,
    fragments.either(
        {"type": "string", "minLength": 1}, {**fragments.listed(fragments.SCALAR), "minItems": 1}
    ),
)
_TARGET: Final = rf"https?:({_URL})|https?://\S*|tcp:\s*{_ADDRESS}|exec:[\s\S]*\S"
TARGET_SCHEMA: Final = fragments.text(_TARGET)
TARGETS: Final = {"http": _HTTP, "tcp": _TCP, "exec": EXEC}
_PROBE: Final = {
    **TARGETS,
    "interval": DURATION,
    "timeout": DURATION,
    "grace": DURATION,
    "failures": integer(1, 10_000),
}


def _parse_probe(value: object) -> Probe:
    if isinstance(value, str):
        return Probe(**parse_target(value))
    found = parse_table(value, _PROBE)
    exactly_one(found, TARGETS)
    if found.get("interval") == 0 or found.get("timeout") == 0:
        raise Invalid("expected an interval and a timeout above 0")
    return Probe(**found)


def parse_target(text: str) -> dict[str, Any]:
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "https":
        return {"http": _parse_http(text)}
    if not colon or scheme not in TARGETS:
        meant = f'; did you mean "http:{text}"?' if re.fullmatch(r"/[\w/.\-]*", text) else ""
        raise Invalid(f'expected "http:/path", "tcp:PORT", "exec:COMMAND", or a table{meant}')
    return {scheme: TARGETS[scheme].parse(rest.strip())}


def exactly_one(found: Mapping[str, Any], names: Mapping[str, ValueKind]) -> None:
    if sum(name in found for name in names) != 1:
        raise Invalid("expected exactly one of " + ", ".join(names))


HEALTH: Final = ValueKind("probe", _parse_probe, fragments.either(TARGET_SCHEMA, table_schema(_PROBE)))

_CHANNELS: Final = {
    "ipc": BOOL,
    "notify": BOOL,
    "listen": BOOL,
    "fd": integer(3, 63),
    "log": kinds.PATTERN,
}
_READY: Final = {**_CHANNELS, **_PROBE}
_WORDS: Final = frozenset({"ipc", "notify", "listen"})


def _parse_ready(value: object) -> Readiness:
    if isinstance(value, str):
        return _ready_text(value.strip())
    found = parse_table(value, _READY)
    channels = {name: found.pop(name) for name in _CHANNELS if name in found}
    if found:
        exactly_one(found, TARGETS)
        channels["probe"] = Probe(**found)
    return Readiness(**channels)


def _ready_text(text: str) -> Readiness:
    if text in _WORDS:
        return Readiness(ipc=text == "ipc", notify=text == "notify", listen=text == "listen")
    if text in ("", "none"):
        return Readiness()
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "log":
        return Readiness(log=kinds.parse_pattern(rest.strip()))
    if colon and scheme == "fd":
        return Readiness(fd=_CHANNELS["fd"].parse(rest))
    try:
        return Readiness(probe=Probe(**parse_target(text)))
    except Invalid as invalid:
        if colon and scheme in TARGETS:
            raise
        words = (
            "notify",
            "ipc",
            "listen",
            "log:REGEX",
            "fd:3",
            "http:/path",
            "tcp:PORT",
            "exec:COMMAND",
            "none",
        )
        meant = invalid.expected.partition("; did")
        raise Invalid(
            "expected one of " + ", ".join(f'"{word}"' for word in words) + "".join(meant[1:])
        ) from invalid


READY: Final = ValueKind(
    "word, probe or table",
    _parse_ready,
    fragments.either(
        fragments.text(rf"{'|'.join(sorted(_WORDS))}|none|fd:\s*{NUMBER}|log:[\s\S]*|{_TARGET}|"),
        table_schema(_READY),
    ),
)


# Outside services -------------------------------------------------------------------------------------------

_SERVICE_EXPECTED: Final = (
    'expected a service such as "tcp://db:5432", "http://search:9200/_health", "https://HOST/path", '
    '"unix:///run/x.sock" or "file:///shared/ready"'
)
_LOCAL: Final = ("unix://", "file://")
_AUTHORITY: Final = r"([^\s/?#@]+@)?([A-Za-z0-9._\-]{1,253}|\[[A-Fa-f0-9:.%]+\])"
_SERVICE: Final = rf"tcp://{_AUTHORITY}:[0-9]{{1,5}}/?|https?://{_AUTHORITY}(:[0-9]{{1,5}})?([/?]\S*)?"


def _parse_service(value: object) -> str:
    """The URL of something outside that an app waits for."""
    text = parse_string(value).strip()
    for scheme in _LOCAL:
        if text.startswith(scheme):
            return scheme + _absolute(scheme, text.removeprefix(scheme))
    found = re.fullmatch(_SERVICE, text)
    if found is None:
        missing = re.fullmatch(rf"tcp://{_AUTHORITY}/?", text)
        raise Invalid('expected a port, as in "tcp://db:5432"' if missing else _SERVICE_EXPECTED)
    try:
        port = urlsplit(text).port
    except ValueError:  # more than 65535
        port = 0
    if port == 0:
        raise Invalid("expected a port from 1 to 65535")
    return text.removesuffix("/") if text.startswith("tcp:") else text


def _absolute(scheme: str, path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise Invalid(f'expected an absolute path, as in "{scheme}/run/x"')
    if scheme == "unix://" and len(path.encode(errors="replace")) > _LONGEST_UNIX_PATH:
        raise Invalid(f"expected a path of at most {_LONGEST_UNIX_PATH} bytes")
    return path


SERVICES: Final = kinds.list_of(
    ValueKind("URL", _parse_service, fragments.text(rf"(unix|file):///[\s\S]*|{_SERVICE}")), _SERVICE_EXPECTED
)


def _parse_interval(value: object) -> float:
    seconds: float = DURATION.parse(value)
    if seconds < _LEAST_INTERVAL_S:
        raise Invalid('expected an interval of at least "100ms"')
    return seconds


_LEAST_INTERVAL_S: Final = 0.1
WAIT_INTERVAL: Final = DURATION._replace(parse=_parse_interval)
