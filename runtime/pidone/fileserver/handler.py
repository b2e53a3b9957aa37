"""What is answered: files of a folder, its homepage, lists of what is in it, or that there is no such thing.

Names that begin with a dot (`.env`, `.git`) are never served, except RFC 8615's `/.well-known/`. Symbolic
links are followed within the folder and not out of it: who may make one there, perhaps by an upload, need not
be able to read what we can. The folder itself may be a link, of a deployment for instance.
"""

import base64
import binascii
import hmac
import html
import os
import stat
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from typing import Any, BinaryIO, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from pidone.descriptors import close
from pidone.fileserver.ranges import Part, part_of

_IDLE_S: Final = 5.0
"""How long a connection may be silent; what Node's servers, and so PM2's, allow."""
_HOMEPAGE: Final = "index.html"
_INDEXES: Final = ("index.html", "index.htm")
_TYPES: Final = {
    ".avif": "image/avif",
    ".ico": "image/vnd.microsoft.icon",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
"""What the mimetypes of some Python versions lack."""


class Site(NamedTuple):
    """What is served, and to whom."""

    root: str
    """Absolute."""
    homepage: str = _HOMEPAGE
    """What `/` shows, from the root."""
    is_spa: bool = False
    """A single-page app: what is not there shows the homepage."""
    lists: bool = False
    """Folders without an index.html show what is in them."""
    login: bytes | None = None
    """`user:password`, if there has to be one."""


def site_of(environ: Mapping[str, str]) -> Site:
    """What the variables ask for."""
    user, password = (environ.get(f"PM2_SERVE_BASIC_AUTH_{part}", "") for part in ("USERNAME", "PASSWORD"))
    return Site(
        root=os.path.abspath(environ.get("PM2_SERVE_PATH") or "."),
        homepage=environ.get("PM2_SERVE_HOMEPAGE", "").strip("/") or _HOMEPAGE,
        is_spa=_is_on(environ, "PM2_SERVE_SPA"),
        lists=_is_on(environ, "PM2_SERVE_FTP") or _is_on(environ, "PM2_SERVE_DIRECTORY"),
        login=f"{user}:{password}".encode() if _is_on(environ, "PM2_SERVE_BASIC_AUTH") else None,
    )


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").strip().lower() in ("1", "on", "true", "yes")


class FileHandler(SimpleHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    disable_nagle_algorithm = True  # the body follows the head in a packet of its own
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **_TYPES}  # noqa: RUF012  # as in the base

    def __init__(self, *arguments: Any, site: Site) -> None:
        """Answer until the client or the server wants no more."""
        self._site = site
        super().__init__(*arguments, directory=site.root)

    def send_head(self) -> Any:
        """Answer a GET or HEAD but for the body; the file to send, if there is one."""
        if not self._may_enter():
            return self._ask_for_login()
        found = self._found()
        if found is None:
            return self._missing()
        self.path = found
        local = self.translate_path(found)
        if os.path.isdir(local):
            if not found.endswith("/"):
                return super().send_head()  # to the same with a slash
            index = self._index_of(local)
            if index is None:
                return self.list_directory(local)
            local = index
        file = self._opened(local)
        return self._missing() if file is None else self._send(file, local)

    def end_headers(self) -> None:
        """As PM2's: anybody's pages may read what is public."""
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Accept-Ranges", "bytes")
        if self.server.is_ending:  # type: ignore[attr-defined]  # the base says BaseServer
            self.send_header("Connection", "close")
            self.close_connection = True
        super().end_headers()

    def version_string(self) -> str:
        """What the Server header says."""
        return "pidone"

    def list_directory(self, path: str | os.PathLike[str]) -> Any:
        """A page with the entries of a folder."""
        try:
            with os.scandir(path) as entries:
                names = sorted(each.name + "/" * each.is_dir() for each in entries if each.name[0] != ".")
        except OSError:
            return self._missing()
        title = f"Index of {html.escape(unquote(self.path, errors='replace'))}"
        items = "".join(
            f'<li><a href="./{quote(name, errors="replace")}">{_shown(name)}</a>' for name in names
        )
        page = f"<!DOCTYPE html><meta charset=utf-8><title>{title}</title><h1>{title}</h1><ul>{items}</ul>"
        return self._answer(HTTPStatus.OK, "text/html; charset=utf-8", page.encode())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing about what went well, as PM2."""

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """One line; clients that fall silent are no error."""
        if not isinstance(args[0] if args else None, TimeoutError):
            # Without the query: it is the one part that may hold what is nobody's business.
            self.log_message(f"%s {format}", urlsplit(getattr(self, "path", "?")).path, *args)

    def _index_of(self, folder: str) -> str | None:
        files = (os.path.join(folder, each) for each in _INDEXES)
        return next((each for each in files if self._is_inside(each) and os.path.isfile(each)), None)

    def _opened(self, path: str) -> BinaryIO | None:
        """A regular file inside of the root; what has been looked at is what was opened, not its name."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        if stat.S_ISREG(os.fstat(fd).st_mode) and self._is_inside(f"/proc/self/fd/{fd}"):
            return os.fdopen(fd, "rb")
        close(fd)
        return None

    def _is_inside(self, path: str) -> bool:
        """Whether it is in the root, wherever links lead."""
        root = os.path.realpath(self._site.root).rstrip("/")
        try:
            real = os.path.realpath(path)
        except ValueError:  # NUL, or half a pair of surrogates: no name of a file
            return False
        return real == (root or "/") or real.startswith(root + "/")

    def _send(self, file: BinaryIO, path: str) -> Any:
        """Answer with a file, or with as much of it as is asked for and not there yet."""
        status = os.fstat(file.fileno())
        part = None if self.path.endswith("/") else self._part_asked_for(status)
        if part is not None:
            return self._send_part(file, part, path)
        if self._has_it(status):
            file.close()
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.end_headers()
            return None
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(status.st_size))
        self.send_header("Last-Modified", self.date_time_string(status.st_mtime))
        self.end_headers()
        return file

    def _has_it(self, status: os.stat_result) -> bool:
        """Whether the client's copy is no older (RFC 9110, 13.1.3)."""
        given = self.headers.get("If-Modified-Since")
        if given is None or "If-None-Match" in self.headers:
            return False
        try:
            at = parsedate_to_datetime(given)
        except ValueError:
            return False
        return int(status.st_mtime) <= (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()

    def _part_asked_for(self, status: os.stat_result) -> range | None:
        """The bytes of a file that a client wants; None if it gets the whole, or may have it already."""
        if self.command != "GET" or "Range" not in self.headers or "If-Modified-Since" in self.headers:
            return None
        if self.headers.get("If-Range") not in (None, self.date_time_string(status.st_mtime)):
            return None  # the file has changed since the client got its other parts
        return part_of(self.headers["Range"], status.st_size)

    def _send_part(self, file: BinaryIO, part: range, path: str) -> Any:
        status = os.fstat(file.fileno())
        if not part:
            file.close()
            refused = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            return self._answer(refused, "text/plain", b"", Content_Range=f"bytes */{status.st_size}")
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{status.st_size}")
        self.send_header("Last-Modified", self.date_time_string(status.st_mtime))
        self.end_headers()
        return Part(file, part)

    def _found(self) -> str | None:
        """The path to send for the path that was asked for; None if there is none."""
        path = urlsplit(self.path).path or "/"
        if path == "/" and self._is_file(self._site.homepage):
            return "/" + self._site.homepage
        if self._is_there(path):
            return path
        if not self._site.is_spa:
            return None
        # A page deep in the app asks for files beside itself that are at the root.
        name = path.rpartition("/")[2]
        return next((f"/{each}" for each in (name, self._site.homepage) if self._is_file(each)), None)

    def _is_there(self, path: str) -> bool:
        local = self._local(path)
        if local is None or not os.path.isdir(local):
            return local is not None and os.path.isfile(local) and not path.endswith("/")
        return self._site.lists or self._index_of(local) is not None

    def _is_file(self, name: str) -> bool:
        local = self._local(f"/{name}")
        return bool(name) and local is not None and os.path.isfile(local)

    def _local(self, path: str) -> str | None:
        """The file that a path means, inside the root whatever it says or links to; None for hidden ones."""
        local = self.translate_path(path)
        parts = local.removeprefix(self._site.root).split(os.sep)
        is_hidden = any(part.startswith(".") and part != ".well-known" for part in parts)
        return None if is_hidden or not self._is_inside(local) else local

    def _missing(self) -> None:
        """404, with the page that the site has for it."""
        file = self._opened(os.path.join(self._site.root, "404.html"))
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            page = file.read()
        self.log_error("code %d", HTTPStatus.NOT_FOUND)
        self._answer(HTTPStatus.NOT_FOUND, "text/html", page)

    def _answer(self, status: HTTPStatus, content_type: str, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _may_enter(self) -> bool:
        wanted = self._site.login
        if wanted is None:
            return True
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (ValueError, binascii.Error):
            given = b""
        return hmac.compare_digest(given, wanted) and scheme.lower() == "basic"

    def _ask_for_login(self) -> None:
        challenge = 'Basic realm="files", charset="UTF-8"'
        self._answer(HTTPStatus.UNAUTHORIZED, "text/plain", b"401 Unauthorized\n", WWW_Authenticate=challenge)


def _shown(name: str) -> str:
    return html.escape(name.encode(errors="replace").decode())
