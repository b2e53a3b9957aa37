"""Pages that are made of the code are what the code says today."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from harness import PIDONE

from pidone.cli.main import dispatch

ROOT = Path(__file__).parents[1]


def loaded() -> ModuleType:
    """The script that makes them."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / ".ci/reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


REFERENCE = loaded()


@pytest.mark.parametrize("page", REFERENCE.PAGES)
def test_a_page_is_current(page: str) -> None:
    """`make reference` would change nothing."""
    assert (ROOT / page).read_text() == REFERENCE.PAGES[page]()


def test_every_command_is_there_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """In the page and in the manual, as `--help` has them."""
    page = (ROOT / "docs/reference/commands.md").read_text()
    manual = (ROOT / "docs/pidone.1").read_text().replace("\\-", "-")
    for names in REFERENCE.TOPICS.values():
        for name in names:
            assert f"### pidone {name}\n" in page
            if name == "exec":  # which ends its process
                words = [PIDONE, "help", name]
                told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            else:
                assert dispatch(["pidone", "help", name]) == 0
                told = capsys.readouterr().out
            assert told
            for option in set(re.findall(r"^ +(?:-\w, )?(--[a-z][\w-]*)", told, re.MULTILINE)) - {"--help"}:
                assert option in page, (name, option)
                assert option in manual, (name, option)


def test_metrics_are_those_that_the_guide_explains() -> None:
    """`_name` in its table continues the name before it."""
    guide = (ROOT / "docs/operating.md").read_text()
    explained = set()
    for row in re.findall(r"^\| (`(?:pidone|process)_.*?) \|", guide, re.MULTILINE):
        names = re.findall(r"`([\w*]+)`", row)
        for name in names:
            first = re.sub(r"^(pidone_(?:instance|container))_.*", r"\1", names[0])
            explained.add(first + name if name.startswith("_") else name)
    made = {each.name for each in REFERENCE.metrics()}
    assert {name for name in made if not name.startswith("process_")} - {"pidone_build_info"} == {
        name for name in explained if not name.startswith("process_")
    }


def test_exit_codes_are_those_of_the_readme() -> None:
    """Each of them, and 128 + n."""
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \|", readme, re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(",")} == {
        code for code, _ in REFERENCE.exit_codes()
    }


@pytest.mark.skipif(shutil.which("man") is None or shutil.which("groff") is None, reason="no man or groff")
def test_the_manual_page_is_one() -> None:
    """No warning, and its sections in the usual order."""
    environ = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"}
    command = ["man", "--warnings", "--local-file", str(ROOT / "docs/pidone.1")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    plain = re.sub(r".\x08|\x1b\[[\d;]*m", "", done.stdout)
    sections = re.findall(r"^([A-Z][A-Z, ]+)$", plain, re.MULTILINE)
    assert sections[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    assert sections[-3:] == ["EXIT STATUS", "ENVIRONMENT", "SEE ALSO"]
