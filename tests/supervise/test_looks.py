"""One look at /proc serves a whole turn, and who is reaped meanwhile is not taken for alive."""

import asyncio
import os
import subprocess
from typing import cast

from pidone.contracts import Clock
from pidone.supervise.process.leftovers import Looks


def test_who_was_reaped_after_the_look_of_a_turn_is_dead_in_it() -> None:
    """Else a deadline of the same turn would find it still there, and call its end a kill."""
    child = subprocess.Popen(["/bin/sleep", "1000"])
    loop = asyncio.new_event_loop()
    try:
        looks = Looks(cast("Clock", loop))
        before = looks.look()
        assert before is not None
        assert not before.processes[child.pid].is_dead
        child.kill()
        child.wait()
        looks.buried(child.pid)
        looks.buried(os.getpid() + 2**22)  # a number that nobody had then
        after = looks.look()
        assert after is before
        assert after.processes[child.pid].is_dead
    finally:
        child.kill()
        child.wait()
        loop.close()
