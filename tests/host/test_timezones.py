"""The container's time zone, with its DST rules, however it is set."""

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from pidone.errors import ConfigError
from pidone.host.timezones import find_timezone, local_timezone

SUMMER = datetime(2024, 7, 1, 12, tzinfo=UTC)
WINTER = datetime(2024, 1, 1, 12, tzinfo=UTC)
ZONE_FILE = Path("/usr/share/zoneinfo/Europe/Berlin")
needs_zone_file = pytest.mark.skipif(not ZONE_FILE.exists(), reason="no system time zones")


def offsets(zone: tzinfo) -> tuple[float, float]:
    """Hours ahead of UTC in winter and in summer."""
    hour = timedelta(hours=1)
    winter, summer = ((each.astimezone(zone).utcoffset() or timedelta()) / hour for each in (WINTER, SUMMER))
    return winter, summer


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Europe/Berlin", (1, 2)), ("UTC", (0, 0)), ("utc", (0, 0)), ("Asia/Kolkata", (5.5, 5.5))],
)
def test_by_name(name: str, expected: tuple[float, float]) -> None:
    """IANA names, also where the image has no zone files."""
    assert offsets(find_timezone(name)) == expected


NO_ZONES = ["", "Mars/Olympus", "America", "../etc/passwd", "/etc/localtime", "a\0b", "x" * 300]


@pytest.mark.parametrize("name", NO_ZONES)
def test_unknown_names(name: str) -> None:
    """The message names the key and the value."""
    with pytest.raises(ConfigError, match="timezone: no time zone is called"):
        find_timezone(name)


@pytest.mark.parametrize("name", ["Europe/Berlin", ":Europe/Berlin"])
def test_from_the_environment(tmp_path: Path, name: str) -> None:
    """$TZ comes first."""
    assert offsets(local_timezone(tmp_path, {"TZ": name})) == (1, 2)


def test_an_empty_tz_is_utc(tmp_path: Path) -> None:
    """As in tzset(3)."""
    assert offsets(local_timezone(tmp_path, {"TZ": ""})) == (0, 0)


def test_from_the_link(tmp_path: Path) -> None:
    """/etc/localtime as a link tells the name."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").symlink_to("../usr/share/zoneinfo/America/New_York")
    assert offsets(local_timezone(tmp_path, {})) == (-5, -4)
    assert offsets(local_timezone(tmp_path, {"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"})) == (-5, -4)


@needs_zone_file
def test_from_a_copied_file(tmp_path: Path) -> None:
    """/etc/localtime as a plain file is read itself, as is an absolute $TZ."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").write_bytes(ZONE_FILE.read_bytes())
    assert offsets(local_timezone(tmp_path, {})) == (1, 2)
    assert offsets(local_timezone(tmp_path, {"TZ": "/etc/localtime"})) == (1, 2)


def test_a_container_without_any_zone_is_in_utc(tmp_path: Path) -> None:
    """Nothing set, or nonsense, is UTC."""
    assert local_timezone(tmp_path, {}) is UTC
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").write_text("nonsense")
    assert local_timezone(tmp_path, {"TZ": "Mars/Olympus"}) is UTC
