"""Very many lines, in several languages at once: every one arrives once, in order, unharmed."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence

import pytest
from logs.relaying import Stage, app, stage

COUNT = int(os.environ.get("LINES_EACH", "40000"))
"""Of each language."""
PYTHON = "import sys\nfor n in range(int(sys.argv[1])): print(f'{n} grün \"😀\"')"
NODE = "const n = +process.argv[1]; for (let i = 0; i < n; i++) "
BASH = 'for ((n = 0; n < $0; n++)); do echo "$n grün \\"😀\\""; done'
TEXT = '{n} grün "😀"'


def writers() -> Iterator[tuple[str, Sequence[str]]]:
    yield "python", (sys.executable, "-c", PYTHON)
    yield "python-u", (sys.executable, "-u", "-c", PYTHON)
    if shutil.which("bash"):
        yield "bash", ("bash", "-c", BASH)
    if shutil.which("node"):
        yield "console.log", ("node", "-e", NODE + 'console.log(`${i} grün "😀"`)', "--")
        yield "stdout.write", ("node", "-e", NODE + 'process.stdout.write(`${i} grün "😀"\\n`)', "--")


def check(it: Stage, names: Sequence[str]) -> None:
    """Compare line by line: the whole would not fit into memory comfortably."""
    it.close()
    it.out.seek(0)
    expected = dict.fromkeys(names, 0)
    for line in it.out:
        record = json.loads(line)
        if "event" in record:
            assert expected[record["app"]] == COUNT
            continue
        name = record["app"]
        assert record["message"] == TEXT.format(n=expected[name])
        expected[name] += 1
    assert expected == dict.fromkeys(names, COUNT)


@pytest.mark.slow
def test_many_lines_of_all_languages_in_one_run() -> None:
    """No line is lost, doubled, mixed up or cut, whichever way it is written."""
    with stage() as it:
        names = []
        for name, argv in writers():
            names.append(name)
            it.spawn(app(name), [*argv, str(COUNT)])
        it.run(timeout=120)
        check(it, names)
