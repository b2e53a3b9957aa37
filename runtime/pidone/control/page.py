"""The dashboard's one file, read when somebody asks for it."""

import os
from pathlib import Path
from typing import Final

from pidone.control.messages import Answer, Request, Response
from pidone.control.router import Access, Route

_FILE: Final = Path(__file__).with_name("dashboard.html")
_POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Page:
    """`/`."""

    def routes(self) -> list[Route]:
        """The one path."""
        return [Route("GET", "/", Access.READ, self.page, "The dashboard.", "Text", content=("text/html",))]

    def page(self, request: Request) -> Answer:
        """The page with a policy (w3.org/TR/CSP3) that lets nothing but itself run.

        A nonce per answer and not a hash of the content: `hashlib` brings OpenSSL along, 3.5 MB for good.
        """
        del request
        nonce = os.urandom(16).hex()
        body = _FILE.read_bytes()
        for tag in (b"script", b"style"):
            body = body.replace(b"<%s>" % tag, b'<%s nonce="%s">' % (tag, nonce.encode()), 1)
        headers = (("content-security-policy", _POLICY.format(nonce=nonce)), ("x-frame-options", "DENY"))
        return Response(200, body, "text/html; charset=utf-8", headers)
