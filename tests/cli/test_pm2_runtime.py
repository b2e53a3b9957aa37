"""The peer's command line."""

from pidone.cli.pm2.runtime import parse


def test_start_is_optional_and_options_stand_anywhere() -> None:
    """Before and after the file, with = or a blank."""
    for words in (
        ["start", "e.json", "--env", "production", "-i", "max"],
        ["--env=production", "-i", "max", "e.json"],
    ):
        found, warnings = parse(words)
        assert (found.target, found.env_name, found.overrides) == (
            "e.json",
            "production",
            {"instances": "max"},
        )
        assert warnings == ()


def test_formats_delay_and_arguments() -> None:
    """--delay is in seconds; what follows -- belongs to the app."""
    found, _ = parse(["--json", "--delay", "2", "--no-auto-exit", "app.js", "--", "--json", "x"])
    assert found.runtime == {"log_format": "pm2", "start_delay": "2s", "auto_exit": False}
    assert found.rest == ("--json", "x")


def test_what_means_nothing_is_said() -> None:
    """PM2 accepts every unknown option silently."""
    found, warnings = parse(["--trace", "e.json", "--nope", "--only"])
    assert found.target == "e.json"
    assert [line.split()[0].rstrip(":") for line in warnings] == ["--trace", "--nope", "--only"]
