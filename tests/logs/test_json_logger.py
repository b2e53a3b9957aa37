"""python-json-logger by its core alone."""

import subprocess

import pytest
from harness import PYTHON

CODE = """
import json, logging, sys
sys.path.append({path!r})
{before}
from pidone.logs.formats.json_logger import make_formatter
formatter = make_formatter(lambda record: json.dumps(record, default=str), fmt="%(level)s%(message)s")
record = logging.LogRecord("x", 20, "", 0, {{"message": "m", "level": "info", "when": 1j}}, (), None)
print(formatter.format(record))
print(isinstance(formatter, logging.Formatter), "dataclasses" in sys.modules)
import pythonjsonlogger, pythonjsonlogger.json
print(issubclass(pythonjsonlogger.json.JsonFormatter, type(formatter).__mro__[1]))
"""


@pytest.mark.parametrize(("before", "has_all"), [("", False), ("import pythonjsonlogger", True)])
def test_the_rest_of_the_package_is_imported_for_who_asks_for_it(before: str, has_all: bool) -> None:  # noqa: FBT001
    """A record is written without it; later, and earlier, the package is what it always is."""
    import pidone

    path = str(pidone.__path__[0]).removesuffix("/pidone")
    done = subprocess.run(
        [PYTHON, "-I", "-c", CODE.format(path=path, before=before)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record, kinds, is_same = done.stdout.splitlines()
    assert record == '{"level": "info", "message": "m", "when": "1j"}'
    assert kinds == f"True {has_all}"
    assert is_same == "True"
