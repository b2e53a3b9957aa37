"""The dashboard's one file, read when somebody asks for it."""

from pathlib import Path
from typing import Final

from runtime.control.messages import Answer, Request, Response
from runtime.control.router import Access, Route

_FILE: Final = Path(__file__).with_name("dashboard.html")
_POLICY: Final = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Page:
    """`/`."""

    def routes(self) -> list[Route]:
        """The one path."""
        return [Route("GET", "/", Access.READ, self.page)]

    def page(self, request: Request) -> Answer:
        """The page with a policy that lets nothing but itself run."""
        del request
        body = _FILE.read_bytes()
        policy = _POLICY.format(script=_hash(body, b"script"), style=_hash(body, b"style"))
        headers = (("content-security-policy", policy), ("x-frame-options", "DENY"))
        return Response(200, body, "text/html; charset=utf-8", headers)


def _hash(page: bytes, tag: bytes) -> str:
    """The hash by which CSP (w3.org/TR/CSP3) knows the content of the page's one element of this kind."""
    from base64 import b64encode  # noqa: PLC0415 (with the next, only for who opens the dashboard)
    from hashlib import sha256  # noqa: PLC0415

    content = page.partition(b"<" + tag + b">")[2].partition(b"</" + tag + b">")[0]
    return b64encode(sha256(content).digest()).decode()
