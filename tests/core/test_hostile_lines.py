"""A pattern of the file and a line of an app that would keep process 1 busy for years: it hears."""

import signal
import subprocess
from pathlib import Path

import pytest
from harness import PIDONE, eventually

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
