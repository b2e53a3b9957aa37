"""A zygote, or what it forks, that ends, hangs or is held at any moment of its work (`preload`)."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters.site import UNHURRIED, Site, running
from harness import eventually

APP = """
import os, signal, socket, sys, time

def once(deed):
    try:
        os.close(os.open("done", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    deed()

def hang():
    while True:
        time.sleep(0.05)

def be_held():
    os.kill(os.getpid(), signal.SIGSTOP)

def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)

def let_go():
    os.closerange(3, 4)

PLACE

def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    hang()

if __name__ == "__main__":
    main()
"""
AFTER_ITS_ANSWER = """
honest = socket.socket.send
def send(channel, data, *flags):
    sent = honest(channel, data, *flags)
    once(DEED)
    return sent
socket.socket.send = send
"""
BETWEEN = "os.register_at_fork(before=lambda: once(DEED))"
IN_THE_WORKER = "os.register_at_fork(after_in_child=lambda: once(DEED))"
SAYS = """
honest = socket.socket.send
def send(channel, data, *flags):
    def lie():
        raise LookupError
    if not data.startswith(b"{"):
        try:
            once(lie)
        except LookupError:
            return honest(channel, WORDS, *flags)
    return honest(channel, data, *flags)
socket.socket.send = send
"""

FLOODS = """
honest = socket.socket.send
def send(channel, data, *flags):
    def flood():
        while True:
            honest(channel, b"pong")
    if not data.startswith(b"{"):
        once(flood)
    return honest(channel, data, *flags)
socket.socket.send = send
"""


def app_of(folder: Path, place: str, instances: int = 2) -> dict[str, Any]:
    """Some workers of a module in which something happens once."""
    (folder / "site_app.py").write_text(APP.replace("PLACE", place))
    keys = {"cwd": str(folder), "preload": "site_app:main", "ready_delay": 0, "instances": instances}
    args = {"script": sys.executable, "interpreter": "none", "args": ["-m", "site_app"], "env": {}}
    return {"name": "web", **args, **UNHURRIED, **keys}


def there(folder: Path) -> set[int]:
    """Every process that lives in this folder, as all of the app do."""

    def found() -> Iterator[int]:
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.path.samefile(f"/proc/{name}/cwd", folder):
                    yield int(name)
            except OSError:
                continue

    return set(found())


def nobody_is_left(site: Site, folder: Path) -> None:
    """The workers and their zygote are there, and nobody else."""

    def is_so() -> bool:
        zygotes = [record["pid"] for record in site.run.find(event="preload.ready")]
        return there(folder) <= {*site.pids(), zygotes[-1]}

    eventually(is_so, "the end of all others")


@pytest.mark.parametrize("deed", ["hang", "be_held", "be_killed", "let_go"])
def test_a_zygote_that_fails_between_its_answer_and_the_fork(tmp_path: Path, deed: str) -> None:
    """That is told once, all workers come up by themselves, and there is another zygote afterwards."""
    with running(tmp_path, app_of(tmp_path, AFTER_ITS_ANSWER.replace("DEED", deed))) as site:
        site.run.expect(event="preload.ready", count=2)
        assert site.count("preload.failed") == 1
        assert site.count("preload.exit") == 1
        nobody_is_left(site, tmp_path)
    assert site.count("runtime.error") == 0
    assert not there(tmp_path)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (AFTER_ITS_ANSWER.replace("DEED", "be_held"), "somebody has stopped it"),
        (FLOODS, "says what no zygote says"),
    ],
    ids=["held", "flood"],
)
def test_a_zygote_that_is_known_not_to_answer(tmp_path: Path, place: str, why: str) -> None:
    """Who is stopped, or says too much, is given up, in words that say so."""
    with running(tmp_path, app_of(tmp_path, place, instances=1)) as site:
        assert why in site.run.expect(event="preload.failed")["message"]
        site.run.expect(event="preload.ready", count=2)
        nobody_is_left(site, tmp_path)
    assert site.count("runtime.error") == 0


@pytest.mark.parametrize("deed", ["hang", "be_held"])
@pytest.mark.parametrize("place", [BETWEEN, IN_THE_WORKER], ids=["between", "worker"])
def test_a_worker_that_hangs_before_it_is_one(tmp_path: Path, place: str, deed: str) -> None:
    """What an import has registered for forks may do that: neither it nor its zygote is left behind."""
    app = {**app_of(tmp_path, place.replace("DEED", deed)), "listen_timeout": "3s", "reload_timeout": "3s"}
    with running(tmp_path, app) as site:
        assert "longer than 3 s to begin" in site.run.expect(event="preload.failed")["message"]
        site.run.expect(event="preload.ready", count=2)
        assert site.count("preload.failed") == 1
        nobody_is_left(site, tmp_path)
    assert site.count("runtime.error") == 0
    assert not there(tmp_path)


@pytest.mark.parametrize("place", [BETWEEN, IN_THE_WORKER], ids=["between", "worker"])
def test_a_worker_that_ends_before_it_is_one(tmp_path: Path, place: str) -> None:
    """It is started again, as any that ends."""
    with running(tmp_path, app_of(tmp_path, place.replace("DEED", "be_killed"))) as site:
        nobody_is_left(site, tmp_path)
    assert site.count("runtime.error") == 0
    assert not there(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        "b'1' * 5000",
        "b'no number'",
        "'\\u00b2 fork'.encode()",
        "b'9' * 60 + b' fork'",
        "b'\\xff' * 60000",
        "b'-1'",
    ],
    ids=["long", "word", "superscript", "errno", "large", "negative"],
)
def test_a_zygote_that_answers_what_none_says(tmp_path: Path, words: str) -> None:
    """An import may write there; its worker is started by itself."""
    app = app_of(tmp_path, SAYS.replace("WORDS", words), instances=1)
    with running(tmp_path, app) as site:
        site.run.expect(event="preload.ready", count=2)
        assert site.count("preload.failed") == 1
        nobody_is_left(site, tmp_path)
    assert site.count("runtime.error") == 0


@pytest.mark.parametrize("words", ["b'[' * 60000", "b'{\"modules\": Infinity}'", "b'1' * 5000"])
def test_a_zygote_that_begins_with_what_none_says(tmp_path: Path, words: str) -> None:
    """It cannot be used, and its worker is started by itself."""
    place = SAYS.replace("WORDS", words).replace('if not data.startswith(b"{")', "if True")
    with running(tmp_path, app_of(tmp_path, place, instances=1)) as site:
        assert "says what no zygote says" in site.run.expect(event="preload.refused")["message"]
    assert site.count("runtime.error") == 0
    assert not there(tmp_path)


@pytest.mark.parametrize("deed", ["hang", "be_held"])
def test_a_stop_while_a_zygote_imports(tmp_path: Path, deed: str) -> None:
    """Nobody waits for the import."""
    app = app_of(tmp_path, f"once({deed})")
    site = Site(tmp_path, app)
    with site.run:
        eventually((tmp_path / "done").exists, "the import")
        site.run.signal(signal.SIGTERM)
        assert site.run.wait() == 0
    assert site.count("runtime.error") == 0
    assert not there(tmp_path)
