"""What an app waits for outside has the time that the file says, and what answered in it has answered."""

import asyncio
import os
import time
from pathlib import Path

from stage import FakeLog, Stage, Turns, spec

from pidone.ecosystem.spec import OnWaitTimeout, RuntimeSpec
from pidone.init.reaper import Reaper
from pidone.supervise.app import App
from pidone.supervise.deadline import DeadlineClock
from pidone.supervise.outside.services import Services
from pidone.supervise.wanted import Run

TIMEOUT = 1.0


def waited_for(service: str) -> tuple[str, list[str]]:
    """An app waits, and the loop stands still until whoever looks has ended, or long after its time.

    What it fails for in the end, and the events that were told.
    """
    stage = Stage()
    waits = spec(wait_for=(service,), wait_for_timeout=TIMEOUT, on_wait_timeout=OnWaitTimeout.FAIL)
    app = App(waits, 1, stage.world, Turns(stage.clock))
    app.wanted.run = Run.WAITING
    log, reaper = FakeLog(), Reaper()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        services = Services(
            RuntimeSpec(), loop=loop, deadlines=DeadlineClock(loop, reaper.reap), reaper=reaper, log=log
        )
        services.answer(app)
        if service.endswith("there"):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        time.sleep(1.5 * TIMEOUT)
        while not (outside := services.answer(app)).is_there and not outside.failure:
            runner.run(asyncio.sleep(0.001))
        services.stop()
        while reaper.watched:
            reaper.reap()
            time.sleep(0.001)
    return outside.failure, [each["event"] for each in log.events]


def test_a_service_that_answered_while_nobody_ran_is_there(tmp_path: Path) -> None:
    """Whoever asks first after a standstill has not read the answer yet."""
    (tmp_path / "there").touch()
    assert waited_for(f"file://{tmp_path}/there") == ("", ["service.waiting", "service.ready"])


def test_a_service_that_does_not_answer_has_its_time(tmp_path: Path) -> None:
    """And no more, however often somebody asks meanwhile."""
    failure, told = waited_for(f"file://{tmp_path}/missing")
    assert "did not answer within 1 s" in failure
    assert told[-1] == "service.timeout"
