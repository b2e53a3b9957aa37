"""Whose page makes a browser ask: that of another site must not reach a socket that trusts its users.

People forward the unix socket to a port of their own machine to use the dashboard. Every page they have open
can send requests there then. Those that a browser sends across sites bear an `Origin` (RFC 6454), and those
after DNS rebinding bear the name of the attacker's host.
"""


def is_foreign(host: str, origin: str) -> bool:
    """Whether a request with these headers, empty if absent, comes from a page that we have not served.

    An address or a name without a dot is no name that others can make point to this machine.
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    parts = name.split(".")
    is_domain = len(parts) > 1 and not all(part.isdecimal() for part in parts)
    return is_domain or (origin != "" and origin.partition("://")[2] != host)
