"""Which path and method mean which handler, and from where they may be used."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote

from pidone.control.http.messages import JSON, Answer, Refusal, Request, Response, Side
from pidone.record import Record

_MOST_PARAMETERS: Final = 32


class Access(Enum):
    """Who may use a route."""

    READ = auto()
    """Everybody who can connect."""
    ACT = auto()
    """The unix socket, or TCP with the token."""
    LOCAL = auto()
    """The unix socket only."""


Handler: TypeAlias = Callable[[Request], Answer]


class Route(Record):
    """One operation, and what openapi.py says of it; a segment `{target}` matches anything."""

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    reply: str = "Apps"
    """The schema of a good answer, by its name in openapi.py."""
    body: str | None = None
    """The schema of what has to be sent."""
    query: tuple[str, ...] = ()
    """Parameters, by name."""
    content: tuple[str, ...] = (JSON,)
    """Types of a good answer."""

    @property
    def segments(self) -> tuple[str, ...]:
        """The path, split."""
        return tuple(self.path.strip("/").split("/")) if self.path != "/" else ()


class Router:
    """Finds the handler of a request and guards it."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Routes do not overlap."""
        self.routes: tuple[Route, ...] = tuple(routes)
        self._fixed: dict[tuple[str, ...], dict[str, Route]] = {}
        self._open: list[tuple[tuple[str, ...], Route]] = []
        for route in self.routes:
            if "{" in route.path:
                self._open.append((route.segments, route))
            else:
                self._fixed.setdefault(route.segments, {})[route.method] = route

    def handle(self, request: Request) -> Answer:
        """Find and call. Raises Refusal."""
        methods = self._fixed.get(request.path) or self._matching(request.path)
        if not methods:
            raise Refusal(404, "there is nothing at this path")
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            return _not_allowed(list(methods))
        if route.access is Access.LOCAL and request.side is not Side.LOCAL:
            raise Refusal(403, "this is answered on the unix socket only")
        if route.access is Access.ACT and request.side is Side.PUBLIC:
            raise Refusal(403, "this address only shows; actions need the unix socket or the token")
        return route.handler(request)

    def _matching(self, path: tuple[str, ...]) -> dict[str, Route]:
        return {
            route.method: route
            for segments, route in self._open
            if len(segments) == len(path)
            and all(one == other or one.startswith("{") for one, other in zip(segments, path, strict=True))
        }


def parse(target: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Split the target of a request line into path segments and query; absolute forms are taken too."""
    if target.startswith(("http://", "https://")):
        target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
    path, _, query = target.partition("#")[0].partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS) if query else ()
    except ValueError:
        pairs = ()
    stripped = path.strip("/")
    segments = tuple(map(unquote, stripped.split("/"))) if stripped else ()
    return segments, dict(pairs)


def _not_allowed(methods: list[str]) -> Response:
    allowed = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
    body = b'{"error":"this method is not allowed here"}\n'
    return Response(405, body, headers=(("allow", allowed),))
