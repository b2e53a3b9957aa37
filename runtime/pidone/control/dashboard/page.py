"""The dashboard's one page, put together when somebody asks for it."""

import os
from pathlib import Path
from typing import Final

from pidone.control.http.messages import JSON, Answer, Request, Response, as_json
from pidone.control.http.router import Access, Route
from pidone.supervise.run.session import Parts

_FOLDER: Final = Path(__file__).parent
_STYLES: Final = ("uplot.css", "style.css")
_SCRIPTS: Final = ("uplot.js", "common.js", "apps.js", "charts.js", "log.js", "events.js", "main.js")
"""In the order in which they need each other. uplot.* are uPlot's own files; its licence is uplot.LICENSE."""
_POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Page:
    """`/`: for a browser the dashboard, for a program what PM2's web side has there."""

    def __init__(self, parts: Parts) -> None:
        """Show the apps of `parts`."""
        self._parts = parts

    def routes(self) -> list[Route]:
        """The one path."""
        told = "The dashboard; for who takes no HTML, and JSON, PM2's list."
        return [Route("GET", "/", Access.READ, self.page, told, "Text", content=("text/html",))]

    def page(self, request: Request) -> Answer:
        """The page with a policy (w3.org/TR/CSP3) that lets nothing but itself run.

        A nonce per answer and not a hash of the content: `hashlib` brings OpenSSL along, 3.5 MB for good.
        """
        if "text/html" not in request.accept and (
            JSON in request.accept or self._parts.supervisor.runtime.pm2_rpc
        ):
            from pidone.control.pm2.web import overview  # noqa: PLC0415 (for who comes from PM2)

            return as_json(overview(self._parts))
        nonce = os.urandom(16).hex()
        headers = (("content-security-policy", _POLICY.format(nonce=nonce)), ("x-frame-options", "DENY"))
        return Response(200, _page(nonce.encode()), "text/html; charset=utf-8", headers)


def _page(nonce: bytes) -> bytes:
    body = (_FOLDER / "page.html").read_bytes()
    for tag, names in ((b"style", _STYLES), (b"script", _SCRIPTS)):
        parts = b"\n".join((_FOLDER / name).read_bytes() for name in names)
        body = body.replace(
            b"<%s></%s>" % (tag, tag), b'<%s nonce="%s">\n%s</%s>' % (tag, nonce, parts, tag), 1
        )
    return body
