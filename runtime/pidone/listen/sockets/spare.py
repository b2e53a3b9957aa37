"""A second socket beside the one that all share: it takes who connects in the moment in which that is down.

A process that calls shutdown(2) on its listening socket ends LISTEN for everybody who has it. We hear of it
and listen again, but what connects in between would be refused. Both are of one SO_REUSEPORT group, and the
kernel's program names the shared one; with that gone it finds nothing else than this. What lands here is
relayed, so those few clients lose their address and nothing else.
"""

import asyncio
from collections.abc import Callable

from pidone.descriptors import close
from pidone.listen.sockets import relay
from pidone.listen.sockets.address import Address
from pidone.listen.sockets.bind import open_socket


class Spare:
    """One for each shared address."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        *,
        backlog: int,
        restore: Callable[[], None],
    ) -> None:
        """`restore` makes the shared one listen, before anybody is relayed to it. Raises OSError."""
        self.socket = open_socket(address, backlog=backlog, reuse_port=True)
        self._loop = loop
        self._address = address
        self._restore = restore
        self._relayed: set[asyncio.Task[None]] = set()
        self._is_closed = False
        loop.add_reader(self.socket.fileno(), self._take)

    def _take(self) -> None:
        self._restore()
        if self._is_closed:  # it cannot be restored
            return
        for client in relay.accept_all(self.socket):
            task = self._loop.create_task(relay.relay(client, self._address))
            self._relayed.add(task)
            task.add_done_callback(self._relayed.discard)

    def close(self, *, hang_up: bool = False) -> None:
        """Listen no more. `hang_up` on those who are relayed as well; otherwise they go on to their end."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self.socket.fileno())
            close(self.socket)
        if hang_up:
            for task in self._relayed:
                task.cancel()
