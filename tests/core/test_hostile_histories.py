"""Histories above the instance that nobody has planned: the last word holds, and nothing hangs or is left."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from harness import eventually, free_port
from test_wishes import STUBBORN, Site, ended, site, write
from test_wishes import app as shell

SLEEPER = "echo up; exec sleep 1000"
SLOW = "sleep 1; " + SLEEPER
"""Takes a while to get ready."""


def app(name: str, script: str = SLEEPER, **keys: Any) -> dict[str, Any]:
    return shell(name, script, **keys)


def settled(it: Site, *names: str) -> None:
    eventually(lambda: all(it.app(name)["settled"] for name in names), "rest")


def named(it: Site) -> list[str]:
    return [each["name"] for each in it.ask("/api/apps").json["apps"]]


def post(it: Site, target: str, verb: str, body: object = None) -> int:
    return it.ask(f"/api/apps/{target}/{verb}", "POST", body).status


def alive(marker: str) -> list[int]:
    """Processes whose environment has this marker."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if marker.encode() in environ:
            found.append(pid)
    return found


def shared(name: str, port: int, script: str = SLEEPER, **keys: Any) -> dict[str, Any]:
    """An app whose replacements stand beside the old ones."""
    return app(name, script, listen=[f"127.0.0.1:{port}"], settle_time="100ms", **keys)


def test_a_file_drops_what_is_being_reloaded_and_scaled(tmp_path: Path) -> None:
    """The file has the last word: everything of it goes, successors too."""
    api = shared("api", free_port(), SLOW, instances=2, env={"MARK": tmp_path.name})
    with site(tmp_path, api, app("other")) as it:
        assert post(it, "api", "reload") < 300
        assert post(it, "api", "scale", {"instances": 4}) == 200
        it.write(app("other"))
        eventually(lambda: named(it) == ["other"], "its end")
        assert not alive(f"MARK={tmp_path.name}")
        it.write(api, app("other"))
        eventually(lambda: "api" in named(it), "its return")
        eventually(lambda: it.states("api") == ["online"] * 2, "both")
        ended(it)


def test_a_delete_while_its_hook_runs(tmp_path: Path) -> None:
    """It is gone when the hook is, and a start meanwhile does not bring half of it back."""
    hook = {
        "command": ["/bin/sh", "-c", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"],
        "timeout": "60s",
    }
    api = app("api", hooks={"pre_stop": hook})
    with site(tmp_path, api, app("other")) as it:
        assert post(it, "api", "stop") < 300
        eventually(lambda: it.app("api")["instances"][0]["state"] != "online", "its hook")
        assert it.ask("/api/apps/api", "DELETE").status < 300
        assert post(it, "api", "start") in (404, 409)
        (tmp_path / "go").touch()
        eventually(lambda: named(it) == ["other"], "its end")
        ended(it)


def test_a_stop_of_one_instance_during_a_rollout(tmp_path: Path) -> None:
    """The others are replaced, this one rests, and later reloads leave it so."""
    with site(tmp_path, shared("api", free_port(), SLOW, instances=3)) as it:
        assert post(it, "api", "reload") < 300
        it.run.expect(event="app.reload", app="api")
        assert post(it, "api:1", "stop") < 300
        settled(it, "api")
        assert it.states("api") == ["online", "stopped", "online"]
        assert it.command("reload", "api").returncode == 0
        assert it.states("api") == ["online", "stopped", "online"]
        assert post(it, "api:1", "start") < 300
        eventually(lambda: it.states("api") == ["online"] * 3, "all three")
        ended(it)


def test_a_restart_while_its_dependency_is_exchanged(tmp_path: Path) -> None:
    """Both run in the end, the dependency from the new file."""
    db, api = app("db", STUBBORN, kill_timeout="60s"), app("api", depends_on=["db"])
    with site(tmp_path, db, api) as it:
        it.write({**db, "args": ["-c", SLEEPER]}, api)
        eventually(lambda: it.states("db") == ["stopping"], "the old one's stop")
        assert post(it, "api", "restart") < 300
        (tmp_path / "go").touch()
        it.run.expect(event="instance.start", app="db", count=2)
        settled(it, "db", "api")
        assert (it.states("db"), it.states("api")) == (["online"], ["online"])
        ended(it)


def test_a_broken_file_during_a_stop(tmp_path: Path) -> None:
    """SIGHUP, nonsense and again SIGHUP while everything stops: it stops."""
    with site(tmp_path, app("db"), app("api", STUBBORN, depends_on=["db"], kill_timeout="60s")) as it:
        it.run.signal(signal.SIGTERM)
        it.run.expect(event="runtime.stop")
        (tmp_path / "ecosystem.toml").write_text("[[apps]\nname =")
        it.run.signal(signal.SIGHUP)
        write(tmp_path, app("another"))
        it.run.signal(signal.SIGHUP)
        assert post(it, "api", "start") == 409
        (tmp_path / "go").touch()
        assert it.run.wait() == 0
        assert not it.run.find(event="instance.start", app="another")
        assert not it.run.find(event="config.rejected")  # a stop is a stop: nobody reads it
        assert not it.run.find(event="runtime.error")


def test_everybody_turns_their_dependencies_round_twice(tmp_path: Path) -> None:
    """A circle over three generations, each read before the one before is there, and a stop in between."""
    db, api, web = app("db"), app("api"), app("web")
    chain = [{**db, "depends_on": ["api"]}, {**api, "depends_on": ["web"]}, web]
    back = [db, {**api, "depends_on": ["db"]}, {**web, "depends_on": ["api"]}]
    with site(tmp_path, *back) as it:
        it.write(*[{**each, "env": {"V": "2"}} for each in chain])
        it.write(*[{**each, "env": {"V": "3"}} for each in back])
        assert post(it, "api", "stop") < 300
        it.write(*[{**each, "env": {"V": "4"}} for each in chain])
        eventually(lambda: (it.states("web"), it.states("api")) == (["online"], ["stopped"]), "rest")
        assert post(it, "api", "start") < 300
        eventually(lambda: [it.states(name) for name in ("db", "api", "web")] == [["online"]] * 3, "all")
        ended(it)


def test_many_hands_at_once(tmp_path: Path) -> None:
    """Every verb from every side; then one word, which holds."""
    with site(tmp_path, shared("api", free_port(), instances=2), app("other")) as it:
        verbs = ("stop", "start", "restart", "reload", "api:0 stop", "api:1 restart", "scale")

        def hand(number: int) -> None:
            for turn in range(3):
                target, _, verb = verbs[(number + turn) % len(verbs)].rpartition(" ")
                body = {"instances": 1 + (number + turn) % 3} if verb == "scale" else None
                assert post(it, target or "api", verb, body) in (200, 404, 409)

        hands = [threading.Thread(target=hand, args=(number,)) for number in range(3)]
        for each in hands:
            each.start()
        for each in hands:
            each.join()
        assert post(it, "api", "scale", {"instances": 3}) == 200
        assert post(it, "api", "start") < 300
        eventually(lambda: it.states("api") == ["online"] * 3, "all three")
        settled(it, "api")
        assert post(it, "api", "reload") == 200
        it.run.expect(event="app.reloaded", app="api")
        assert post(it, "api", "stop") < 300
        eventually(lambda: it.states("api") == ["stopped"] * 3, "rest")
        ended(it)


def test_a_hook_that_hangs_at_the_stop(tmp_path: Path) -> None:
    """It has its time and no more, and its app hears TERM all the same."""
    hook = {"command": ["/bin/sleep", "1000"], "timeout": "500ms"}
    with site(tmp_path, app("db"), app("api", hooks={"pre_stop": hook}, depends_on=["db"])) as it:
        it.run.signal(signal.SIGTERM)
        assert it.run.wait() == 0
        assert not it.run.find(event="instance.kill")
        order = [each["app"] for each in it.run.find(event="instance.exit")]
        assert order == ["api", "db"]


def test_a_second_signal_while_a_hook_hangs(tmp_path: Path) -> None:
    """No more waiting: everything goes at once, the hook too."""
    hook = {"command": ["/bin/sleep", "1000"], "timeout": "1h"}
    with site(tmp_path, app("api", hooks={"pre_stop": hook}, env={"MARK": tmp_path.name})) as it:
        it.run.signal(signal.SIGTERM)
        it.run.expect(event="runtime.stop")
        eventually(lambda: len(alive(f"MARK={tmp_path.name}")) > 1, "the hook")
        it.run.signal(signal.SIGTERM)
        assert it.run.wait() == 128 + signal.SIGTERM
        assert not alive(f"MARK={tmp_path.name}")


def test_a_rollout_that_fails_after_it_was_scaled_and_the_file_went_back(tmp_path: Path) -> None:
    """A broken version, a scale, the old version again: as many as the last word says, and reloads work."""
    port = free_port()
    api = shared("api", port, SLEEPER, instances=2)
    with site(tmp_path, api) as it:
        it.write({**api, "args": ["-c", "sleep 0.5; exit 1"]})
        assert post(it, "api", "scale", {"instances": 4}) == 200
        it.write(api, app("last"))
        eventually(lambda: "last" in named(it), "the last file")
        settled(it, "api")
        eventually(lambda: set(it.states("api")) == {"online"}, "all online")
        assert len(it.states("api")) in (2, 4)
        count = len(it.states("api"))
        assert it.command("reload", "api").returncode == 0
        assert it.states("api") == ["online"] * count
        ended(it)


def test_named_anew_while_the_old_one_leaves(tmp_path: Path) -> None:
    """Dropped, named, dropped and named again, while the first process takes its time."""
    api = app("api", STUBBORN, kill_timeout="60s")
    with site(tmp_path, api, app("other")) as it:
        it.write(app("other"))
        it.write(api, app("other"))
        it.write(app("other"))
        it.write({**api, "args": ["-c", SLEEPER]}, app("other"))
        assert len(it.run.find(event="instance.start", app="api")) == 1
        (tmp_path / "go").touch()
        it.run.expect(event="instance.start", app="api", count=2)
        eventually(lambda: it.states("api") == ["online"], "its return")
        ended(it)


def test_a_stop_while_a_successor_never_gets_ready(tmp_path: Path) -> None:
    """SIGTERM in the middle of a rollout: old and new hear it, in order, and nobody waits for the rollout."""
    port = free_port()
    api = shared("api", port, depends_on=["db"])
    mute = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
    with site(tmp_path, app("db"), api) as it:
        it.write(app("db"), {**api, "args": ["-c", mute], "reload_timeout": "300s"})
        it.run.expect(event="instance.start", app="api", count=2)
        ended(it)
        order = [each["app"] for each in it.run.find(event="instance.exit")]
        assert order == ["api", "api", "db"]


def test_started_again_while_it_stops_and_the_file_changes(tmp_path: Path) -> None:
    """A stop, another version and a start, all before the old process has ended: the new version runs."""
    api = app("api", STUBBORN, kill_timeout="60s")
    with site(tmp_path, api, app("other")) as it:
        assert post(it, "api", "stop") < 300
        it.write({**api, "args": ["-c", SLEEPER]}, app("other"))
        assert post(it, "api", "start") < 300
        (tmp_path / "go").touch()
        it.run.expect(event="instance.start", app="api", count=2)
        eventually(lambda: it.states("api") == ["online"], "its return")
        assert it.app("api")["wanted"] is True
        ended(it)
