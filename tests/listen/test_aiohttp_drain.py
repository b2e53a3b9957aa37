"""What holds up the stop of an asyncio server, and what does not."""

import asyncio
import importlib
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pidone.listen import python


@pytest.fixture
def shims(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Their module, as an app's interpreter finds it."""
    monkeypatch.syspath_prepend(str(Path(python.__path__[0]) / "shim"))
    importlib.import_module("pidone_asyncio")
    return importlib.import_module("pidone_aiohttp")


@pytest.mark.parametrize("stays", [False, True], ids=["gone", "there"])
def test_a_refused_upload_whose_client_has_gone_holds_up_nothing(shims: ModuleType, *, stays: bool) -> None:
    """The real server waits ten seconds for the rest of it, and keeps the connection for that time."""
    web = pytest.importorskip("aiohttp.web")

    async def is_let_go() -> bool:
        runner = web.AppRunner(web.Application())  # no route: every request is answered unread
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        reader, writer = await asyncio.open_connection(*site._server.sockets[0].getsockname())
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        assert b"404" in await reader.readuntil(b"\r\n")
        if not stays:
            writer.close()
        await shims.pidone_asyncio.until(lambda: shims._have_gone(runner.server), 1.0, tls=False)
        assert len(runner.server.connections) == 1
        gone: bool = shims._have_gone(runner.server)
        writer.close()
        await runner.cleanup()
        return gone

    assert asyncio.run(asyncio.wait_for(is_let_go(), 60)) is not stays


@pytest.mark.parametrize(
    ("connection", "is_over"),
    [
        (SimpleNamespace(transport=None, _request_in_progress=False), True),
        (SimpleNamespace(transport=None, _request_in_progress=True), False),
        (SimpleNamespace(transport=object(), _request_in_progress=False), False),
        (SimpleNamespace(transport=None), False),
        (SimpleNamespace(), False),
    ],
    ids=["gone", "gone, and its request is worked on", "there", "another version", "quite another"],
)
def test_who_is_a_client(shims: ModuleType, connection: SimpleNamespace, *, is_over: bool) -> None:
    """A handler that works goes on, whether its client waits or not: aiohttp promises that."""
    assert shims._have_gone(SimpleNamespace(connections=[connection])) is is_over
    assert shims._have_gone(SimpleNamespace(connections=[]))


def test_a_drain_on_a_busy_machine_ends_before_its_process_is_killed(shims: ModuleType) -> None:
    """Turns that take ten times as long are not waited for to the last one."""

    async def drain() -> float:
        async def hog() -> None:
            while True:
                await asyncio.sleep(0)
                time.sleep(0.2)  # noqa: ASYNC251 (as a machine does that runs others meanwhile)

        busy = asyncio.ensure_future(hog())
        turns = 0

        def look() -> bool:
            nonlocal turns
            turns += 1
            return False

        await shims.pidone_asyncio.until(look, 0.5, tls=False)
        busy.cancel()
        return turns

    assert asyncio.run(asyncio.wait_for(drain(), 60)) < 0.5 / 0.02
