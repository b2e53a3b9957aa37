"""Misspelt commands."""

from pathlib import Path

import pytest
from harness import pidone

from pidone.cli.prepare.misspelt import refuse_misspelt
from pidone.errors import UsageError


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["lss"], "ls"),
        (["restrat", "api"], "restart"),
        (["chekc", "--json", "e.toml"], "check"),
        (["Exec"], "exec"),
    ],
)
def test_a_word_close_to_a_command_is_not_taken_for_a_script(
    words: list[str], meant: str, tmp_path: Path
) -> None:
    """The command is offered, with the exit code of a wrong command line."""
    with pidone(*words, cwd=tmp_path) as running:
        assert running.wait() == 64
        assert running.err is not None
        first = next(iter(running.err))
        assert first == f'pidone: {words[0]}: no such file or command; did you mean "pidone {meant}"?'


def test_files_and_programs_are_never_misspelt(tmp_path: Path) -> None:
    """Nor are words that no command is near to, paths and options."""
    (tmp_path / "lss").touch()
    program = tmp_path / "bin/chekc"
    program.parent.mkdir()
    program.touch(0o755)
    environ = {"PATH": str(program.parent)}
    for words in (["lss"], ["chekc"], ["server"], ["./restrat"], ["app.js"], ["--envv"], []):
        refuse_misspelt(words, str(tmp_path), environ)
    with pytest.raises(UsageError):
        refuse_misspelt(["chekc"], str(tmp_path), {"PATH": ""})
