"""What came of a trial: a table for people, JSON for programs, JUnit XML for CI systems."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from pidone.cli.operate.client import CommandError
from pidone.ecosystem.problems import strip_controls
from pidone.ecosystem.spec import Seconds
from pidone.record import Record


class Result(Record, kw_only=True):
    """What became of one step."""

    name: str
    took: Seconds
    failure: str = ""
    skipped: str = ""
    """Why it was not tried, if it was not."""


def junit(suite_name: str, results: Sequence[Result]) -> str:
    """The XML that CI systems read: https://github.com/testmoapp/junitxml."""
    suite = ET.Element(
        "testsuite",
        name=f"pidone {suite_name}",
        tests=str(len(results)),
        failures=str(sum(bool(result.failure) for result in results)),
        errors="0",
        skipped=str(sum(bool(result.skipped) for result in results)),
        time=f"{sum(result.took for result in results):.3f}",
    )
    for result in results:
        case = ET.SubElement(
            suite,
            "testcase",
            name=strip_controls(result.name),
            classname=suite_name,
            time=f"{result.took:.3f}",
        )
        if result.failure:
            ET.SubElement(case, "failure", message=strip_controls(result.failure))
        elif result.skipped:
            ET.SubElement(case, "skipped", message=strip_controls(result.skipped))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def check_writable(path: str) -> None:
    """Before anything is tried. Raises CommandError."""
    folder = Path(path).parent
    if path != "-" and (Path(path).is_dir() or not os.access(folder, os.W_OK)):
        code = errno.EISDIR if Path(path).is_dir() else errno.EACCES if folder.is_dir() else errno.ENOENT
        raise CommandError(f"{path}: {os.strerror(code)}")


def write(text: str, path: str) -> None:
    """To a file, or to stdout for `-`. Raises CommandError."""
    if path == "-":
        print(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
