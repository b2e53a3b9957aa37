"""Numbers that nobody means."""

import subprocess
from pathlib import Path

import pytest
from harness import DEADLINE_S, PIDONE


@pytest.mark.parametrize("count", ["9" * 5000, "1e400", "nan", "-3", "1_0"])
@pytest.mark.parametrize("key", ["instances", "kill_timeout"])
def test_a_number_of_the_file_that_is_none(tmp_path: Path, key: str, count: str) -> None:
    """It is refused with its line, or it is a number; never a bug of ours."""
    file = tmp_path / "e.toml"
    file.write_text(f'[[apps]]\nname = "a"\nscript = "/bin/true"\n{key} = {count}\n')
    words = [PIDONE, "check", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    said = done.stdout + done.stderr
    assert done.returncode in (0, 1, 78)
    assert "internal error" not in said
    assert "Traceback" not in said
    assert "e.toml:4" in said or count == "1_0" or done.returncode == 0
