"""A signal that comes right after a fork is not ours in the child."""

import os
import signal

from pidone.csignal import fork_quietly


def test_signals_wait_in_the_child_and_not_here() -> None:
    """One that the child is sent before it has put its own dispositions runs no handler of ours there."""
    read, write = os.pipe()
    before = signal.signal(signal.SIGTERM, lambda *_: os.write(write, b"handled"))
    try:
        pid = fork_quietly()
        if not pid:
            os.kill(os.getpid(), signal.SIGTERM)
            os.write(write, b"waits" if signal.SIGTERM in signal.sigpending() else b"lost")
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(read, 100) == b"waits"
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(read)
        os.close(write)
