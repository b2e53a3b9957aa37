"""What would keep process 1 busy, or waiting, while it looks at an app's lines: it hears, and loses none."""

import signal
import subprocess
from pathlib import Path

import harming
import pytest
from harness import PIDONE, PYTHON, Running, eventually
from writing import ecosystem, python, shell

import pidone

PATTERNS = ("(.*)(.*)(.*)(.*)#", r"\s*\s*\s*\s+$", ".*a.*b.*c.*#")
KEYS = ("ready = 'log:{}'", "log_drop = ['{}']", "log_redact = ['{}']", "multiline = '{}'")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_stop_is_heard_whatever_is_looked_for(pattern: str, tmp_path: Path) -> None:
    """By four apps, each with another key, and each shows its lines or hides them."""
    tables = "".join(
        f'[apps.a{number}]\nscript = "./hostile.py"\nready_delay = 0\n{key.format(pattern)}\n'
        for number, key in enumerate(KEYS)
    )
    (tmp_path / "pidone.toml").write_text(tables + '[runtime]\nlog_format = "json"\n')
    hostile = tmp_path / "hostile.py"
    hostile.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('heard', flush=True)))\n"
        "for line in ('a' * 16_000, ' ' * 16_000 + 'x', 'abcd' * 4_000, ' ' * 300_000 + 'x', 'done'):\n"
        "    print(line, flush=True)\n"
        "while True:\n"
        "    time.sleep(0.05)\n"
    )
    hostile.chmod(0o755)
    said = tmp_path / "said"
    with said.open("wb") as out:
        process = subprocess.Popen([PIDONE, "pidone.toml"], cwd=tmp_path, stdout=out, stderr=out)
    try:
        eventually(lambda: said.read_text().count('done"') >= 3, "the lines after the hostile ones")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        text = said.read_text()
        assert text.count("log.pattern_failed") >= 3
        assert text.count('heard"') >= 3
    finally:
        process.kill()
        process.wait()


LINES = """
import sys, time
for number in range(30):
    print("x" * 20_000, "secret=hunter2", number, flush=True)
print("the last of thirty", flush=True)
while True:
    print("x" * 20_000, "secret=hunter2 later", flush=True)
    time.sleep(0.2)
"""
TICKS = "n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.05; done"


@pytest.mark.parametrize("when", ["before", "amid"])
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_who_tries_a_pattern_may_be_held_or_killed(tmp_path: Path, when: str, number: int) -> None:
    """Again and again: others are served and heard, no secret is shown, no line is lost, and it is told."""
    file = ecosystem(
        tmp_path,
        python(tmp_path, "hides", LINES, log_redact=["^x+ secret=(\\S+)"]),
        python(tmp_path, "drops", LINES, log_drop=["^x+ secret=\\S+ later"], max_line="30K"),
        shell("other", TICKS),
    )
    packages = str(Path(pidone.__file__).parents[1])
    harmed = [harming.__file__, when, str(int(number)), packages, f"{PIDONE}-direct"]
    with Running([PYTHON, "-I", "-S", "-X", "utf8", *harmed, file]) as run:
        for app in ("hides", "drops"):
            run.expect(app=app, message="the last of thirty")
        hidden = run.find(app="hides", stream="stdout")
        assert [record["message"] for record in hidden[:31]] == ["***"] * 30 + ["the last of thirty"]
        kept = run.find(app="drops", stream="stdout")
        expected = [f"{'x' * 20_000} secret=hunter2 {number}" for number in range(30)]
        assert [record["message"] for record in kept[:30]] == expected
        for app in ("hides", "drops"):
            told = run.expect(event="log.pattern_failed", app=app)
            assert "a long line could not be looked at" in told["message"]
        ticks = len(ticks_of(run))
        eventually(lambda: len(ticks_of(run)) > ticks, "the other one to be heard")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert ticks_of(run) == list(range(1, len(ticks_of(run)) + 1))
        assert not run.find(event="runtime.error")
        assert "hunter2" not in str(run.find(app="hides"))


def ticks_of(run: Running) -> list[int]:
    """The numbers that the other app has said."""
    return [int(record["message"].split()[1]) for record in run.find(app="other", stream="stdout")]
