"""The API on both of its sides, asked with the standard library's HTTP client."""

import json
import os
import signal
import socket
import stat
from pathlib import Path

import pytest
from control.operated import SLEEPER, Operated, command, operated
from harness import DEADLINE_S, PYTHON, alive, eventually, pidone

ACTIONS = (
    "start",
    "stop",
    "restart",
    "reload",
    "reset",
    "delete",
    "flush",
    "scale",
    "signal",
    "send",
    "trigger",
)


def test_apps_are_shown_with_their_instances(shared: Operated) -> None:
    """/api/apps names every app and tells pid, state, CPU and memory of each instance."""
    [app] = shared.ask("/api/apps").json["apps"]
    assert (app["name"], app["state"], app["ready"], app["scale"]) == ("api", "online", True, 2)
    for instance in app["instances"]:
        assert alive(instance["pid"])
        assert instance["memory_bytes"] > 0
        assert instance["cpu_percent"] >= 0


@pytest.mark.parametrize("target", ["api", "api:1", "1", "default", "all", "default/api"])
def test_targets_are_names_indexes_ids_namespaces_or_all(shared: Operated, target: str) -> None:
    """Each of PM2's ways to name something finds it, and an index only that instance."""
    reply = shared.ask(f"/api/apps/{target.replace('/', '%2F')}")
    [app] = reply.json["apps"]
    assert [each["index"] for each in app["instances"]] == ([1] if target in ("api:1", "1") else [0, 1])


def test_an_unknown_target_is_404_and_tells_the_known_ones(shared: Operated) -> None:
    """What does not exist is refused, with everything that does."""
    reply = shared.ask("/api/apps/apx/stop", "POST")
    assert reply.status == 404
    assert "api" in reply.json["known"]


def test_restart_gives_every_instance_a_new_process(sleeping: Operated) -> None:
    """After a restart both pids are new, and the restarts are counted."""
    before = {each["pid"] for each in sleeping.app("api")["instances"]}
    assert sleeping.ask("/api/apps/api/restart", "POST").status == 200
    eventually(
        lambda: sleeping.states("api") == ["online", "online"] and sleeping.app("api")["restarts"] == 2
    )
    assert before.isdisjoint(each["pid"] for each in sleeping.app("api")["instances"])


def test_restart_of_a_stopped_app_starts_it_once(sleeping: Operated) -> None:
    """Nothing is started only to be ended for the restart."""
    sleeping.ask("/api/apps/api/stop", "POST")
    eventually(lambda: sleeping.states("api") == ["stopped", "stopped"])
    assert sleeping.ask("/api/apps/api/restart", "POST").status == 200
    sleeping.run.expect(event="instance.online", count=4)
    starts = [r for r in sleeping.run.records if r.get("event") == "instance.start"]
    assert len(starts) == 4


def test_one_instance_can_be_stopped_and_started(sleeping: Operated) -> None:
    """`api:0` concerns that instance alone."""
    sleeping.ask("/api/apps/api:0/stop", "POST")
    eventually(lambda: sleeping.states("api") == ["stopped", "online"])
    sleeping.ask("/api/apps/api:0/start", "POST")
    eventually(lambda: sleeping.states("api") == ["online", "online"])


def test_scale_adds_and_removes(sleeping: Operated) -> None:
    """Absolute and relative numbers are understood, and nonsense is refused."""
    for wish, count in ((3, 3), ("+1", 4), ("-2", 2), ("1", 1), ("max", len(os.sched_getaffinity(0)))):
        reply = sleeping.ask("/api/apps/api/scale", "POST", {"instances": wish})
        assert reply.status == 200
        assert sleeping.app("api")["scale"] == count
    nonsense: object
    for nonsense in (0, -1, "x", "+", None, True, 1.5, 10**9, [], "-9999"):
        assert sleeping.ask("/api/apps/api/scale", "POST", {"instances": nonsense}).status == 400


def test_only_documented_states_are_shown(tmp_path: Path) -> None:
    """Hooks before the start and before the stop are part of `starting` and `stopping`."""
    hooks = {
        point: f"until test -e {tmp_path}/{point}; do sleep 0.02; done" for point in ("pre_start", "pre_stop")
    }
    ecosystem = SLEEPER + "hooks = {" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in hooks.items()) + "}"
    with operated(tmp_path, ecosystem, ready=False) as it:
        assert it.states("api") == ["starting", "starting"]
        assert it.app("api")["state"] == "starting"
        (tmp_path / "pre_start").touch()
        eventually(lambda: it.states("api") == ["online", "online"])
        it.ask("/api/apps/api/stop", "POST")
        assert it.states("api") == ["stopping", "stopping"]
        assert it.app("api")["state"] == "stopping"
        (tmp_path / "pre_stop").touch()
        eventually(lambda: it.states("api") == ["stopped", "stopped"])


def test_a_stop_by_hand_does_not_end_the_runtime(sleeping: Operated) -> None:
    """When somebody stopped the last app on purpose, the container stays and the app can be started again."""
    sleeping.ask("/api/apps/all/stop", "POST")
    eventually(lambda: sleeping.states("api") == ["stopped", "stopped"])
    assert sleeping.ask("/readyz").status == 503
    sleeping.ask("/api/apps/all/start", "POST")
    eventually(lambda: sleeping.ask("/readyz").status == 200)


def test_delete_forgets_the_app_and_the_last_one_ends_the_runtime(tmp_path: Path) -> None:
    """A deleted app is gone from the list; when none is left there is nothing to run."""
    with operated(tmp_path, SLEEPER + SLEEPER.replace('"api"', '"other"')) as it:
        it.ask("/api/apps/api", "DELETE")
        eventually(lambda: it.ask("/api/apps/api").status == 404)
        it.ask("/api/apps/other/delete", "POST")
        assert it.run.wait() == 0


def test_an_app_that_others_depend_on_cannot_be_deleted(tmp_path: Path) -> None:
    """Deleting a dependency would leave its dependents waiting for nothing."""
    dependent = SLEEPER.replace('"api"', '"web"') + 'depends_on = ["api"]\n'
    with operated(tmp_path, SLEEPER + dependent) as it:
        reply = it.ask("/api/apps/api/delete", "POST")
        assert reply.status == 409
        assert "web" in reply.json["error"]


def test_a_reload_is_followed_by_its_outcome(tmp_path: Path) -> None:
    """The app's view tells that a reload runs and that it is done; a second one meanwhile is refused."""
    go = tmp_path / "go"
    go.touch()
    with operated(tmp_path, f'{SLEEPER}hooks.pre_start = "until test -e {go}; do sleep 0.02; done"') as it:
        go.unlink()
        assert it.ask("/api/apps/api/reload", "POST").json["apps"][0]["reload"]["state"] == "running"
        assert it.ask("/api/apps/api/reload", "POST").status == 409
        go.touch()
        eventually(lambda: it.app("api")["reload"]["state"] == "done")


def test_a_signal_reaches_the_main_process(tmp_path: Path) -> None:
    """What a process does on SIGUSR1 it does when it is asked to over the API."""
    script = "import signal, time; signal.signal(signal.SIGUSR1, lambda *_: print('caught', flush=True)); "
    script += "print('armed', flush=True)\nwhile True: time.sleep(0.01)"
    (tmp_path / "app.py").write_text(script)
    with operated(tmp_path, f'[[apps]]\nname = "s"\nscript = "{PYTHON}"\nargs = ["{tmp_path}/app.py"]') as it:
        it.run.expect(message="armed")
        assert it.ask("/api/apps/s/signal", "POST", {"signal": "USR1"}).status == 200
        it.run.expect(message="caught")
        assert it.ask("/api/apps/s/signal", "POST", {"signal": "NOPE"}).status == 400


def test_a_line_can_be_sent_to_stdin(tmp_path: Path) -> None:
    """An app with `stdin = "pipe"` reads the line; one without is not reached."""
    ecosystem = '[[apps]]\nname = "cat"\nscript = "/bin/cat"\nstdin = "pipe"\n' + SLEEPER
    with operated(tmp_path, ecosystem) as it:
        assert it.ask("/api/apps/cat/send", "POST", {"line": "hello"}).json == {"reached": 1}
        it.run.expect(app="cat", message="hello")
        assert it.ask("/api/apps/api/send", "POST", {"line": "hello"}).status == 409
        assert it.ask("/api/apps/cat/send", "POST", {"line": "x" * 5000}).status == 400


def test_an_action_is_triggered_and_its_reply_comes_back(tmp_path: Path) -> None:
    """PM2's `axm:reply` messages are what a trigger returns."""
    script = """
import json, os, socket
channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))
say = lambda value: channel.sendall(json.dumps(value).encode() + b"\\n")
say("ready")
for line in channel.makefile():
    message = json.loads(line)
    name = message["msg"] if isinstance(message, dict) else message
    reply = {"return": {"did": name, "opts": message.get("opts") if isinstance(message, dict) else None}}
    say({"type": "axm:reply", "data": reply})
"""
    (tmp_path / "app.py").write_text(script)
    ecosystem = f'[[apps]]\nname = "a"\nscript = "{PYTHON}"\nargs = ["{tmp_path}/app.py"]\nwait_ready = true'
    with operated(tmp_path, ecosystem) as it:
        reply = it.ask("/api/apps/a/trigger", "POST", {"action": "gc", "parameter": {"deep": True}})
        assert reply.json["replies"] == [
            {"app": "a", "instance": 0, "return": {"did": "gc", "opts": {"deep": True}}}
        ]
        assert '"did": "clean"' in it.command("trigger", "a", "clean").stdout


def test_tcp_shows_but_does_not_act(shared: Operated) -> None:
    """Every state-changing route is refused on TCP, and nothing has changed afterwards."""
    before = shared.app("api")
    for action in ACTIONS:
        assert shared.ask(f"/api/apps/api/{action}", "POST", {}, tcp=True).status == 403
    assert shared.ask("/api/apps/api", "DELETE", tcp=True).status == 403
    assert shared.ask("/api/drain", "POST", tcp=True).status == 403
    assert shared.ask("/api/apps/api/env", tcp=True).status == 403
    after = shared.ask("/api/apps/api", tcp=True)
    assert [i["pid"] for i in after.json["apps"][0]["instances"]] == [i["pid"] for i in before["instances"]]


def test_the_token_lets_tcp_act(tmp_path: Path) -> None:
    """With --admin-token-file a request that bears the token may act; another one may not."""
    (tmp_path / "token").write_text("s3cret-token\n")
    with operated(tmp_path, SLEEPER, "--admin-token-file", str(tmp_path / "token")) as it:
        for given in ("", "Bearer", "Bearer wrong", "Basic s3cret-token", "Bearer s3cret-tokenx"):
            assert it.ask("/api/apps/api/restart", "POST", tcp=True, authorization=given).status == 403
        good = it.ask("/api/apps/api/restart", "POST", tcp=True, authorization="Bearer s3cret-token")
        assert good.status == 200
        assert it.ask("/api/apps/api/env", tcp=True, authorization="Bearer s3cret-token").status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9615", "Origin": "http://localhost:9615"}, 200),
        ({"Host": "127.0.0.1:9615"}, 200),
        ({"Host": "[::1]:9615", "Origin": "http://[::1]:9615"}, 200),
        ({"Host": "localhost:9615", "Origin": "http://localhost:8080"}, 403),
        ({"Host": "localhost:9615", "Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "rebound.evil.example:9615"}, 403),
        ({"Host": "127.0.0.1.evil.example", "Origin": "http://127.0.0.1.evil.example"}, 403),
    ],
    ids=str,
)
def test_pages_of_other_sites_are_refused_on_the_unix_side(
    shared: Operated, headers: dict[str, str], status: int
) -> None:
    """A forwarded socket trusts its user, but not every page in the user's browser."""
    assert shared.ask("/api/apps/all/reset", "POST", None, tcp=False, **headers).status == status
    assert shared.ask("/api/apps", "GET", None, tcp=False, **headers).status == status


def test_the_overview_tells_whether_a_client_may_act(shared: Operated) -> None:
    """The dashboard shows its buttons by that."""
    assert shared.ask("/api").json["may_act"] is True
    assert shared.ask("/api", tcp=True).json["may_act"] is False


def test_the_socket_is_for_its_owner_only(shared: Operated) -> None:
    """Mode 0600; test_peers.py tries it with other users."""
    assert stat.S_IMODE(Path(shared.socket).stat().st_mode) == 0o600


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    """What a killed runtime left behind is taken over; a running one keeps its socket."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "control.sock"))
    with operated(tmp_path) as first:
        with pidone("start", "--socket", first.socket, "--", "/bin/sleep", "1000") as second:
            assert "in use" in second.expect(event="control.error")["error"]
        assert first.ask("/livez").status == 200
        first.run.signal(signal.SIGTERM)
        assert first.run.wait() == 0
        assert not Path(first.socket).exists()


def test_two_runtimes_find_places_of_their_own(tmp_path: Path) -> None:
    """Without a configured path the second runtime stands beside the first."""
    env = {"XDG_RUNTIME_DIR": str(tmp_path), "PIDONE_SOCKET": ""}
    with pidone("--", "/bin/sleep", "1000", env=env) as one:
        first = one.expect(event="control.listening")["address"]
        with pidone("--", "/bin/sleep", "1000", env=env) as two:
            second = two.expect(event="control.listening")["address"]
            assert first == str(tmp_path / "pidone.sock")
            assert second == str(tmp_path / f"pidone-{two.pid}.sock")
            assert command("ls", env=env).returncode == 0


def test_no_socket_when_there_shall_be_none(tmp_path: Path) -> None:
    """`none` opens nothing and imports nothing."""
    with pidone("--", "/bin/sleep", "1000", env={"PIDONE_SOCKET": "none"}) as run:
        run.expect(event="instance.online")
        assert not run.find(event="control.listening")


LINGER = "\n[runtime]\nshutdown_delay = '5s'\n"
"""All that is asked meanwhile has to be answered in this time, on a busy machine too."""


def test_readiness_fails_at_once_when_a_stop_is_asked_for(tmp_path: Path) -> None:
    """During shutdown_delay the apps still serve, and /readyz says 503 from the first moment."""
    with operated(tmp_path, SLEEPER + LINGER) as it:
        assert it.ask("/startupz").status == 200
        it.run.signal(signal.SIGTERM)
        it.run.expect(event="runtime.stop")
        reply = it.ask("/readyz?verbose")
        assert reply.status == 503
        assert b"[+] api online" in reply.body
        assert b"lingering" in reply.body
        assert it.ask("/livez").status == 200
        assert it.ask("/api/apps/api/restart", "POST").status == 409
        assert it.run.wait() == 0


def test_readiness_may_last_as_long_as_the_delay(tmp_path: Path) -> None:
    """`unready_on_stop = false`: for balancers that cut what is not ready instead of draining it."""
    with operated(tmp_path, f"{SLEEPER}{LINGER}unready_on_stop = false\n") as it:
        it.run.signal(signal.SIGTERM)
        it.run.expect(event="runtime.stop")
        assert it.ask("/readyz?verbose").status == 200
        assert it.ask("/api/drain", "POST").status == 200
        assert it.ask("/readyz").status == 503
        assert it.run.wait() == 0


def test_readiness_names_the_app_that_is_not(tmp_path: Path) -> None:
    """?verbose tells which app is missing; /startupz fails until everything was ready once."""
    slow = '[[apps]]\nname = "slow"\nscript = "/bin/sleep"\nargs = "1000"\nwait_ready = true\n'
    slow += "listen_timeout = 60000\n"
    with operated(tmp_path, SLEEPER + slow, ready=False) as it:
        reply = it.ask("/readyz?verbose", tcp=True)
        assert reply.status == 503
        assert b"[-] slow starting" in reply.body
        assert it.ask("/startupz").status == 503
        assert it.ask("/livez").status == 200


def test_a_dead_app_is_no_reason_to_restart_the_container(tmp_path: Path) -> None:
    """/livez is about the runtime alone; /readyz is about the apps."""
    dead = '[[apps]]\nname = "dead"\nscript = "/bin/false"\nmax_restarts = 1\n'
    with operated(tmp_path, SLEEPER + dead, ready=False) as it:
        it.run.expect(event="instance.errored")
        assert it.ask("/livez").status == 200
        reply = it.ask("/readyz?verbose")
        assert reply.status == 503
        assert b"[-] dead errored" in reply.body


def test_methods_and_paths_that_do_not_exist(shared: Operated) -> None:
    """404, 405 with Allow, and HEAD as GET without a body."""
    assert shared.ask("/nowhere").status == 404
    refused = shared.ask("/api/apps", "POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    head = shared.ask("/api/apps", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert shared.ask("/api/apps/api/scale", "POST", body=[1]).status == 400


def test_events_are_streamed(sleeping: Operated) -> None:
    """A follower of /api/events hears of a restart as it happens."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(sleeping.socket)
        client.sendall(b"GET /api/events?lines=3 HTTP/1.1\r\nhost: x\r\n\r\n")
        stream = client.makefile("rb")
        assert b" 200 " in stream.readline()
        sleeping.ask("/api/apps/api:0/restart", "POST")
        names: list[str] = []
        while names[-2:] != ["instance.exit", "instance.start"]:
            line = stream.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                names.append(json.loads(line[6:])["event"])
        stream.close()


def test_the_description_knows_every_route(sleeping: Operated) -> None:
    """The OpenAPI document and the router name the same operations."""
    described = {
        (method.upper(), path)
        for path, item in sleeping.ask("/api/openapi.json").json["paths"].items()
        for method in item
        if method != "parameters"
    }
    for method, path in described:
        asked = path.replace("{target}", "nobody")
        said = {
            "instances": 1,
            "signal": "TERM",
            "line": "x",
            "action": "x",
            "verb": "start",
            "target": "api",
        }
        body = said if method == "POST" else None
        if "/events" not in path and "/drain" not in path:
            assert sleeping.ask(asked, method, body).status == (404 if "{" in path else 200), (method, path)
