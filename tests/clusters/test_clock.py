"""The wall clock is set while apps run (NTP, a thawed machine): nobody hangs, and no timer is lost."""

import mmap
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clusters.site import get, node_app, python_app, running
from harness import eventually

HOUR_S = 3600
PATIENCE_S = 1.2
SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *ahead;
__attribute__((constructor)) static void begin(void) {
  int file = open(getenv("CLOCK_FILE"), O_RDONLY | O_CLOEXEC);
  void *found = file < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  if (found == MAP_FAILED) abort();
  ahead = found;
  close(file);
}
int clock_gettime(clockid_t which, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, which, now);
  if (!failed && ahead && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += *ahead;
  return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
  struct timespec fine;
  clock_gettime(CLOCK_REALTIME, &fine);
  now->tv_sec = fine.tv_sec;
  now->tv_usec = fine.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *now) {
  struct timespec fine;
  clock_gettime(CLOCK_REALTIME, &fine);
  if (now) *now = fine.tv_sec;
  return fine.tv_sec;
}
"""
NODE = """
require('http').createServer((request, response) => {
  response.end(String(Date.now() / 1000));
  if (request.url === '/hang') setTimeout(() => { for (;;); }, 100);
}).listen(+process.env.PORT);
"""
ASGI = """
import asyncio, time
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%f" % time.time()})
    if scope["path"] == "/hang":
        asyncio.get_running_loop().call_later(0.1, time.sleep, 600)
"""


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets what programs that start from now on take for the time, in seconds ahead of the real one."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    library = tmp_path / "shim.so"
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(tmp_path / "shim.c")]
    subprocess.run(words, check=True, timeout=60)
    file = tmp_path / "clock"
    file.write_bytes(bytes(8))
    with file.open("r+b") as opened:
        shared = mmap.mmap(opened.fileno(), 8)
    monkeypatch.setenv("CLOCK_FILE", str(file))
    monkeypatch.setenv("LD_PRELOAD", str(library))

    def to(seconds: int) -> None:
        shared[:] = struct.pack("l", seconds)

    return to


@pytest.mark.parametrize("kind", ["node", "uvicorn"])
def test_a_clock_that_is_set_makes_nobody_hang(
    kind: str, set_clock: Callable[[int], None], node: str, port: int, tmp_path: Path
) -> None:
    """Forward and back by hours, again and again, and one that really hangs is found by then as ever."""
    keys = {"instances": 1, "exec_mode": "cluster", "cwd": str(tmp_path), "hang_timeout": f"{PATIENCE_S:g}s"}
    (tmp_path / "app.cjs").write_text(NODE)
    (tmp_path / "asgi.py").write_text(ASGI)
    if kind == "node":
        app = node_app(node, port, script=str(tmp_path / "app.cjs"), **keys)
    else:
        pytest.importorskip("uvicorn")
        app = python_app("-m", "uvicorn", "--port", str(port), "asgi:app", port=port, **keys)
    with running(tmp_path, {**app, "kill_timeout": "1s"}) as site:
        real = float(get(port))
        for hours in (6, -12, 48, 0):
            set_clock(hours * HOUR_S)
            assert abs(float(get(port)) - real - hours * HOUR_S) < HOUR_S / 2
            time.sleep(1.5 * PATIENCE_S)  # enough for an alarm, if there were one
        assert site.count("instance.hung") == 0
        assert site.count("instance.exit") == 0
        set_clock(-6 * HOUR_S)
        get(port, "/hang")
        site.run.expect(event="instance.hung")
        site.run.expect(event="instance.online", count=2)
        site.run.expect(event="instance.exit")
        set_clock(6 * HOUR_S)
        eventually(lambda: abs(float(get(port)) - real - 6 * HOUR_S) < HOUR_S / 2, "the next one")
