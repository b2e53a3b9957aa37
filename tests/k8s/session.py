"""`make test-k8s`: have a cluster, then run the tests of `live/` on it.

Without further words the cluster is made here and gone afterwards. `CLUSTER=current` takes the one that
`kubectl` talks to; it has to know the images that BACKEND_IMAGE, NODE_API_IMAGE, POSTGRES_IMAGE and
REDIS_IMAGE name.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from docker.engine import CACHE, running_engine
from k8s.cluster import images, node, programs

LIVE = Path(__file__).parent / "live"


def main(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments; its exit code."""
    chosen = any(Path(word.partition("::")[0]).exists() for word in arguments)
    command = [sys.executable, "-m", "pytest", *([] if chosen else [str(LIVE)]), *arguments]
    if os.environ.get("CLUSTER") == "current":
        return subprocess.run(command, check=False).returncode
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # not without cleaning up
    with _timed("packages"):
        programs.install_packages()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=CACHE)))
        making = stack.enter_context(ThreadPoolExecutor(1)).submit(_make_images, folder)
        with _timed("programs"):
            programs.build()
        with _timed("cluster"):
            ours = stack.enter_context(node.running(lambda: [images.pause(folder), making.result()]))
        with _timed("tests"):
            env = {**ours.env(), **images.names(), "CLUSTER": "ours"}
            return subprocess.run(ours.inside(*command), env=env, check=False).returncode


def _make_images(folder: Path) -> Path:
    """In a thread of its own: they have time until the cluster runs, and much of theirs is waiting."""
    with _timed("images"), running_engine():
        return images.make(folder)


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201 - for whoever waits


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
