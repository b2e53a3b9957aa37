"""What commands take for the name of an app, beside its plain one."""

import json
from pathlib import Path

from control.operated import SLEEPER, operated


def test_regular_expressions_are_targets(tmp_path: Path) -> None:
    """`restart '/http-[12]/'` as PM2 has it: every app whose name matches; matched in the command."""
    apps = "".join(SLEEPER.replace('"api"', f'"{name}"') for name in ("http-1", "http-2", "http-3", "db"))
    with operated(tmp_path, apps) as it:
        shown = json.loads(it.command("ls", "/^http/", "--json").stdout)["apps"]
        assert [app["name"] for app in shown] == ["http-1", "http-2", "http-3"]
        assert it.command("stop", "/http-[12]/").returncode == 0
        assert [it.app(name)["state"] for name in ("http-1", "http-2", "http-3", "db")] == [
            *("stopped", "stopped", "online", "online")
        ]
        done = it.command("restart", "/nothing/")
        assert (done.returncode, "no app matches /nothing/" in done.stderr) == (66, True)
        assert "unterminated" in it.command("restart", "/[/").stderr


def test_a_name_may_be_that_of_a_scoped_package(tmp_path: Path) -> None:
    """`name: require("./package.json").name` in a monorepo: every word for it reaches it, and nobody else."""
    apps = "".join(SLEEPER.replace('"api"', f'"{name}"') for name in ("@acme/api", "@acme/web", "web:0"))
    with operated(tmp_path, apps) as it:
        for target in ("@acme/api", "default/@acme/api", "/^@acme.api/"):
            assert it.command("stop", target).returncode == 0
            assert it.app("@acme%2Fapi")["state"] == "stopped"
            assert it.command("start", target).returncode == 0
        assert it.command("restart", "@acme/web:1").returncode == 0
        assert it.command("stop", "web:0").returncode == 0
        assert [(app["name"], app["state"], app["restarts"]) for app in it.ask("/api/apps").json["apps"]] == [
            ("@acme/api", "online", 0),
            ("@acme/web", "online", 1),
            ("web:0", "stopped", 0),
        ]
        assert it.command("scale", "@acme/api", "3").returncode == 0
        assert "@acme/api" in it.command("describe", "@acme/api").stdout
        assert it.command("stop", "@acme").returncode == 66
