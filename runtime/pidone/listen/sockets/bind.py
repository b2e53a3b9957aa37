"""Open a listening socket, or say clearly why that is impossible and who is in the way."""

import errno
import socket
from collections.abc import Collection
from typing import Final

from pidone.descriptors import close
from pidone.errors import ListenError
from pidone.listen.sockets.address import Address, Kind

FIRST_UNPRIVILEGED_PORT: Final = 1024
_ADDRESS_LETTERS: Final = frozenset("0123456789abcdefABCDEF.:")
_FREEBIND: Final = {  # linux/in.h, linux/in6.h
    socket.AF_INET: (socket.IPPROTO_IP, 15),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 78),
}
_NO_FAMILY: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EINVAL)


def open_socket(address: Address, *, backlog: int, reuse_port: bool = False) -> socket.socket:
    """Bind, and listen if it is a stream: only listen() finds out about every conflict.

    Raises OSError with the errno a program would have seen itself.
    """
    families = address.families
    for family in families[:-1]:
        try:
            return _open(address, family, backlog=backlog, reuse_port=reuse_port)
        except OSError as error:
            if error.errno not in _NO_FAMILY:
                raise
    return _open(address, families[-1], backlog=backlog, reuse_port=reuse_port)


def _open(address: Address, family: socket.AddressFamily, *, backlog: int, reuse_port: bool) -> socket.socket:
    kind = socket.SOCK_DGRAM if address.kind is Kind.UDP else socket.SOCK_STREAM
    opened = socket.socket(family, kind)
    try:
        opened.setblocking(False)
        if address.kind is Kind.TCP or address.reuse:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.v6_only))
        if address.device:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, address.device.encode())
        if address.is_free:
            level, option = _FREEBIND[family]
            opened.setsockopt(level, option, 1)
        if reuse_port:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.kind is Kind.TCP:
            # Servers set it before bind(), on the socket that ours stands in for; connections inherit it.
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.kind is Kind.UNIX and not address.is_abstract:
            from pidone.listen.sockets.unix_file import bind  # noqa: PLC0415 (most apps have ports)

            bind(opened, address.host)
        else:
            opened.bind(_sockaddr(address, family))
        if kind == socket.SOCK_STREAM:
            opened.listen(backlog)
    except BaseException:
        close(opened)
        raise
    return opened


def is_theirs(address: Address, error: OSError, roots: Collection[int]) -> bool:
    """Whether an address is in use, and by nobody but these processes and their descendants."""
    if error.errno != errno.EADDRINUSE:
        return False
    from pidone.listen.sockets.holders import is_held_by  # noqa: PLC0415 (only after a failure)

    return is_held_by(address, roots)


def port_of(opened: socket.socket) -> int:
    """The port a socket is bound to; 0 for a unix socket."""
    return int(opened.getsockname()[1]) if opened.family is not socket.AF_UNIX else 0


def explain(address: Address, error: OSError) -> ListenError:
    """The error for people: what was wanted, why not, and who holds it if /proc tells."""
    if error.errno == errno.EADDRINUSE:
        from pidone.listen.sockets.holders import who_holds  # noqa: PLC0415 (only after a failure)

        holder = who_holds(address)
        return ListenError(f"{address}: already in use" + (f" by {holder}" if holder else ""))
    if error.errno == errno.EACCES and address.kind is Kind.UNIX:
        return ListenError(f"{address}: permission denied")
    if error.errno == errno.EACCES and address.port < FIRST_UNPRIVILEGED_PORT:
        return ListenError(
            f"{address}: ports below {FIRST_UNPRIVILEGED_PORT} need root or CAP_NET_BIND_SERVICE "
            "(or sysctl net.ipv4.ip_unprivileged_port_start)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ListenError(f"{address}: no such address on this machine")
    return ListenError(f"{address}: {error.strerror or error}")


def _sockaddr(address: Address, family: socket.AddressFamily) -> tuple[object, ...] | str:
    if address.kind is Kind.UNIX:
        return address.host
    if not address.host:
        return ("::" if family is socket.AF_INET6 else "0.0.0.0", address.port)  # noqa: S104 (asked for)
    if "%" not in address.host and all(letter in _ADDRESS_LETTERS for letter in address.host):
        return (address.host, address.port)
    try:
        # Scopes (fe80::1%eth0), and names, which only configuration files contain.
        return socket.getaddrinfo(address.host, address.port, family)[0][4]
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, error.strerror) from error
