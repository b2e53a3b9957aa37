"""An app that cannot serve beside its successor: `reload` says so before and after."""

import re
from pathlib import Path

import pytest
from control.operated import SLEEPER, operated
from harness import PYTHON, free_port

SERVER = """
[[apps]]
name = "own"
script = "{python}"
args = ["-m", "http.server", "{port}", "--bind", "127.0.0.1"]
"""


def test_the_gap_is_told(tmp_path: Path) -> None:
    """With its port, how long it was, and what avoids it; the record says how long, too."""
    port = free_port()
    with operated(tmp_path, SERVER.format(python=PYTHON, port=port)) as it:
        done = it.command("reload", "own")
        assert done.returncode == 0
        before, after = done.stderr.splitlines()
        cure = rf"it binds its port itself; listen = \[{port}\] avoids it"
        assert re.fullmatch(rf"pidone: own: down until its new process is ready: {cure}", before)
        assert re.fullmatch(rf"pidone: own: was down for \d+\.\d s: {cure}", after)
        assert it.run.expect(event="app.reloaded")["down_s"] > 0


@pytest.mark.parametrize("verb", ["reload", "restart"])
def test_who_overlaps_is_told_nothing(tmp_path: Path, verb: str) -> None:
    """Nor is whoever asks for a restart."""
    shared = SLEEPER if verb == "restart" else SLEEPER + f'listen = ["127.0.0.1:{free_port()}"]\n'
    with operated(tmp_path, shared) as it:
        assert not it.command(verb, "all").stderr
