"""A child's whole work: POST an alert to a URL. Both come by environment; exit code 0 if it was taken."""

import os
import ssl
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 10.0
AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
)
"""Where Debian and Arch, Alpine, and Fedora keep the certificates they trust."""


def main() -> int:
    """Deliver; 1 if the other side refuses or is not there."""
    request = urllib.request.Request(  # noqa: S310 (the ecosystem allows http and https only)
        os.environ["PIDONE_WEBHOOK"],
        os.environ["PIDONE_BODY"].encode(),
        {"content-type": "application/json", "user-agent": "pidone"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=trust()) as response:  # noqa: S310 (as above)
            return 0 if response.status < 400 else 1
    except (OSError, urllib.error.URLError, ValueError):
        return 1


def trust() -> ssl.SSLContext:
    """Whom the image trusts: an OpenSSL from elsewhere, as in the bundle, does not know where that is."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        for path in filter(os.path.exists, AUTHORITIES):
            context.load_verify_locations(path)
            break
    return context


if __name__ == "__main__":
    sys.exit(main())
