"""`GET /api/apps/{target}`: rights, limits, memory and times of an app."""

import datetime as dt
import time
from pathlib import Path

import pytest
from control.operated import Operated, operated
from harness import eventually

LIMITED = """
[[apps]]
name = "limited"
script = "/bin/sh"
args = ["-c", "sleep 1000; true"]
cwd = "/"
ready_delay = 0
uid = 65534
gid = 65533
groups = [65532]
umask = "027"
nice = 4
oom_score_adj = 200
no_new_privs = true
limits = { nofile = "100:200", core = 0 }
cpu_affinity = "0"
max_memory_restart = "200M"
memory_soft_limit = "100M"
max_age = "1h"

[apps.health]
exec = ["/bin/true", "--password", "hunter2"]
interval = "1h"

[[apps]]
name = "timed"
script = "/bin/true"
schedule = "0 4 * * *"
timezone = "Asia/Tokyo"

[[apps]]
name = "plain"
script = "/bin/sleep"
args = "1000"
instances = 2
cron_restart = "0 5 * * *"
ready_delay = 0
"""


def test_rights_are_as_configured_and_as_the_kernel_has_them(tmp_path: Path, root: None) -> None:
    """What the file asks for is what the process got."""
    with operated(tmp_path, LIMITED) as it:
        (details,) = it.ask("/api/apps/limited").json["details"]
        wanted, got = details["rights"], details["instances"][0]["rights"]
        assert (wanted["uid"], wanted["gid"], wanted["groups"]) == (65534, 65533, [65532])
        assert (got["uid"], got["gid"], got["groups"]) == (65534, 65533, [65532])
        assert details["probes"] == {
            "ready": None,
            "health": "exec:/bin/true --password *** every 3600 s, 1 s for an answer, 3 failures",
        }
        assert "exec:/bin/true" in it.command("describe", "limited").stdout
        assert wanted["umask"] == got["umask"] == 0o027
        assert wanted["nice"] == got["nice"] == 4
        assert wanted["oom_score_adj"] == got["oom_score_adj"] == 200
        assert wanted["limits"] == {"nofile": [100, 200], "core": [0, 0]}
        assert wanted["limits"].items() <= got["limits"].items()
        assert (wanted["cpu_affinity"], got["cpus"]) == ([0], "0")
        assert (got["capabilities"], got["no_new_privs"]) == ("0" * 16, True)


def test_memory_is_told_beside_its_limits(tmp_path: Path, root: None) -> None:
    """The tree is more than its main process; PSS only where somebody asked for it, and never on TCP."""
    with operated(tmp_path, LIMITED) as it:

        def measured() -> bool:
            memory = it.ask("/api/apps/limited").json["details"][0]["instances"][0]["memory"]
            return bool(memory["tree_rss_bytes"] and memory["tree_rss_bytes"] > memory["main_rss_bytes"])

        eventually(measured, "the child to be counted")
        (details,) = it.ask("/api/apps/limited?pss=1").json["details"]
        assert details["memory"]["limit_bytes"] == 200 << 20
        assert details["memory"]["soft_limit_bytes"] == 100 << 20
        memory = details["instances"][0]["memory"]
        assert 0 < memory["pss_bytes"] < memory["tree_rss_bytes"]
        (details,) = it.ask("/api/apps/limited?pss=1", tcp=True).json["details"]
        assert details["instances"][0]["memory"]["pss_bytes"] is None


def test_times_to_come(tmp_path: Path) -> None:
    """The next run in the time zone of the schedule, and how long an instance may still live."""
    with operated(tmp_path, LIMITED.replace("uid = 65534", "")) as it:
        run, again, age = (
            it.ask(f"/api/apps/{name}").json["details"][0] for name in ("timed", "plain", "limited")
        )
        due = dt.datetime.fromisoformat(run["times"]["next_run"])
        assert (due.hour, due.minute, due.utcoffset()) == (4, 0, dt.timedelta(hours=9))
        assert 0 < due.timestamp() - time.time() <= 86400
        assert dt.datetime.fromisoformat(again["times"]["next_run"]).hour == 5
        assert age["times"]["next_run"] is None
        assert 3500 < age["instances"][0]["age_left_s"] <= 3600
        it.ask("/api/apps/plain/stop", "POST")
        assert it.ask("/api/apps/plain").json["details"][0]["times"]["next_run"] is None


@pytest.mark.parametrize(("target", "indexes"), [("api", [0, 1]), ("api:1", [1])])
def test_only_the_instances_that_are_meant(shared: Operated, target: str, indexes: list[int]) -> None:
    """One instance of an app can be asked for."""
    (details,) = shared.ask(f"/api/apps/{target}").json["details"]
    assert [each["index"] for each in details["instances"]] == indexes


def test_namesakes_have_details_of_their_own(tmp_path: Path) -> None:
    """Two namespaces, one name: each with its own command, on the unix socket only."""
    app = '[[apps]]\nname = "api"\nscript = "/bin/sleep"\nready_delay = 0\n'
    with operated(tmp_path, f'{app}args = "1000"\n{app}args = "2000"\nnamespace = "other"\n') as it:
        found = it.ask("/api/apps/api").json["details"]
        assert {each["namespace"]: each["command"][-1] for each in found} == {
            "default": "1000",
            "other": "2000",
        }
        assert [each["command"] for each in it.ask("/api/apps/api", tcp=True).json["details"]] == [None] * 2


def test_an_instance_that_does_not_run_has_no_rights(sleeping: Operated) -> None:
    """Nothing is read of what is not there."""
    sleeping.ask("/api/apps/api/stop", "POST")
    eventually(lambda: set(sleeping.states("api")) == {"stopped"}, "the stop")
    (details,) = sleeping.ask("/api/apps/api?pss=1").json["details"]
    assert [(each["pid"], each["rights"]) for each in details["instances"]] == [(None, None)] * 2
