"""Whose rights an app and the commands beside it have: its user's, and none of the runtime's."""

import http.server
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import PIDONE, Running, command_of, descendants, eventually
from writing import ecosystem, shell

pytestmark = pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")

NOBODY = 65534
UNKNOWN = 10001
PRIVILEGED = (0, 4, 6, 10)
"""What a container's root has beside its own group in common base images."""
ROOTS_GROUPS = ("setpriv", "--groups", ",".join(map(str, PRIVILEGED)), "--")
MEMBERSHIPS = "root:x:0:\nnogroup:x:65534:\nstaff:x:50:nobody\nusers:x:100:nobody,root\n"
SHOW = """
{
    echo uid=$(id -u) gid=$(id -g) groups=$(id -G) umask=$(umask) nofile=$(ulimit -n)
    grep NoNewPrivs: /proc/self/status
    env | grep -E '^(USER|LOGNAME|HOME|KEPT|SECRET_KEY|OTHER)=' | sort
    cat "$1/of_root" 2>/dev/null && echo may read of_root
} > "$1/$2.part" 2>&1; mv "$1/$2.part" "$1/$2"
"""


def with_memberships(folder: Path) -> list[str]:
    """Runs what follows where /etc/group is ours."""
    (folder / "group").write_text(MEMBERSHIPS)
    script = f'mount --bind {folder}/group /etc/group && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


def prepare(folder: Path) -> None:
    """A folder in which everybody may leave what he saw, and a file that only root's group may read."""
    folder.chmod(0o777)
    secret = folder / "of_root"
    secret.write_text("secret\n")
    secret.chmod(0o640)


def command(folder: Path, name: str) -> list[str]:
    """What writes down as whom it runs."""
    return ["/bin/sh", "-c", SHOW, "sh", str(folder), name]


def seen(folder: Path, name: str) -> list[str]:
    """What the command of this name has written down."""
    eventually((folder / name).exists, f"{name} to be written")
    return (folder / name).read_text().splitlines()


def app_seen(folder: Path, prefix: Sequence[str] = (), **keys: Any) -> dict[str, str]:
    """Run an app once; what it said of itself."""
    prepare(folder)
    app = shell("a", "", cwd="/", autorestart=False, **keys)
    app["args"] = command(folder, "app")[1:]
    argv = [*with_memberships(folder), *ROOTS_GROUPS, *prefix, PIDONE, "--socket", "none"]
    with Running([*argv, ecosystem(folder, app)], cwd="/") as run:
        assert run.wait() == 0
    return as_table(seen(folder, "app"))


def as_table(lines: Sequence[str]) -> dict[str, str]:
    """`name=value` lines and the first line's pairs by name."""
    first, *others = lines
    fields = {"may read of_root": "no"}
    *_, rest = first.partition("groups=")
    fields["groups"] = rest.partition(" umask")[0]
    fields |= dict(pair.split("=", 1) for pair in first.split() if "=" in pair and "groups" not in pair)
    fields |= dict(line.split("=", 1) for line in others if "=" in line)
    if "may read of_root" in lines:
        fields["may read of_root"] = "yes"
    return fields


@pytest.mark.parametrize(
    ("keys", "gid", "groups"),
    [
        ({"uid": "nobody"}, "65534", "65534 50 100"),
        ({"uid": NOBODY}, "65534", "65534 50 100"),
        ({"uid": "65534:100"}, "100", "100 50"),
        ({"uid": "nobody", "gid": "staff"}, "50", "50 100"),
        ({"uid": "nobody", "groups": [50, 77]}, "65534", "65534 50 77"),
        ({"uid": "nobody", "groups": []}, "65534", "65534"),
        ({"uid": UNKNOWN}, "10001", "10001"),
        ({"uid": f"{UNKNOWN}:{UNKNOWN}"}, "10001", "10001"),
        ({"uid": f"{UNKNOWN}:77"}, "77", "77"),
        ({"uid": UNKNOWN, "gid": 100}, "100", "100"),
        ({"uid": UNKNOWN, "gid": 100, "groups": "staff"}, "100", "100 50"),
    ],
    ids=str,
)
def test_an_app_has_its_users_groups(
    open_path: Path, root: None, keys: dict[str, Any], gid: str, groups: str
) -> None:
    """Those that /etc/group gives its user, none if nobody knows it; never those of the runtime."""
    it = app_seen(open_path, **keys)
    assert (it["gid"], it["groups"]) == (gid, groups)
    assert it["may read of_root"] == "no"


def test_without_a_user_the_runtimes_groups_stay(open_path: Path, root: None) -> None:
    """Nobody asked for anything else."""
    assert app_seen(open_path)["groups"] == "0 4 6 10"


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"uid": "nobody"}, ("nobody", "nobody", "/nonexistent")),
        ({"uid": UNKNOWN}, (None, None, "/")),
        ({"uid": UNKNOWN, "env": {"USER": "me"}}, ("me", None, "/")),
        ({}, ("root", "root", "/root")),
    ],
    ids=str,
)
def test_an_app_has_its_users_names(
    open_path: Path, root: None, keys: dict[str, Any], names: tuple[str | None, ...]
) -> None:
    """A user whom nobody knows has no name; least of all the runtime's."""
    prefix = ["env", "USER=root", "LOGNAME=root", "HOME=/root"]
    it = app_seen(open_path, prefix, **keys)
    assert tuple(it.get(name) for name in ("USER", "LOGNAME", "HOME")) == names


CAPABLE = ("setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups")


def capabilities(*names: str) -> list[str]:
    """A runtime of uid 4242 with these capabilities, and the one to find an interpreter in root's home."""
    held = ",".join(f"+{name}" for name in ("dac_read_search", *names))
    return [*CAPABLE, f"--inh-caps=-all,{held}", f"--ambient-caps=-all,{held}", "--"]


def test_a_runtime_that_may_change_users_need_not_be_root(open_path: Path, root: None) -> None:
    """The app becomes that user, and what let it is gone: it cannot become another one."""
    script = "id -u; id -g; id -G; grep CapEff /proc/self/status"
    app = shell("a", script, cwd="/", autorestart=False, uid=UNKNOWN)
    argv = [*capabilities("setuid", "setgid"), PIDONE, "--socket", "none"]
    with Running([*argv, ecosystem(open_path, app)], cwd="/") as run:
        assert run.wait() == 0
        said = [record["message"] for record in run.records if record.get("stream") == "stdout"]
        assert said == [*["10001"] * 3, f"CapEff:\t{0:016x}"]


@pytest.mark.parametrize("uid", [4242, "4242:4242"])
def test_its_own_user_needs_no_right(open_path: Path, root: None, uid: int | str) -> None:
    """A file may name the user whom the container runs as anyway."""
    app = shell("a", "id -u; id -g", cwd="/", autorestart=False, uid=uid)
    with Running([*capabilities(), PIDONE, "--socket", "none", ecosystem(open_path, app)], cwd="/") as run:
        assert run.wait() == 0
        assert [record["message"] for record in run.records if record.get("stream")] == ["4242"] * 2


@pytest.mark.parametrize(
    ("keys", "supplementary", "expected"),
    [
        ({"uid": 4242}, "5678,999", "5678 999"),
        ({"uid": "4242"}, "0", "5678 0"),
        ({"uid": "4242:5678"}, "5678", "5678"),
        ({"uid": 4242, "gid": 5678}, "999", "5678 999"),
        ({"gid": 5678, "groups": []}, "5678", "5678"),
        ({"groups": []}, "5678", "5678"),
        ({"groups": [999]}, "5678,999", "5678 999"),
    ],
    ids=str,
)
def test_what_is_so_already_needs_no_right(
    open_path: Path, root: None, keys: dict[str, Any], supplementary: str, expected: str
) -> None:
    """`user: 4242:5678` and `group_add`: its group is not its number, and stands among the others too."""
    held = "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"
    prefix = ["setpriv", "--reuid", "4242", "--regid", "5678", "--groups", supplementary, *held, "--"]
    app = shell("a", "id -u; id -G", cwd="/", autorestart=False, **keys)
    argv = [*prefix, PIDONE, "--socket", "none", ecosystem(open_path, app)]
    with Running(argv, cwd="/") as run:
        assert run.wait() == 0
        assert [each["message"] for each in run.records if each.get("stream")] == ["4242", expected]
        assert not run.find(event="rights.missing")


@pytest.mark.parametrize("keys", [{"uid": "4242:77"}, {"groups": [77]}, {"uid": 4242, "gid": 77}], ids=str)
def test_other_groups_of_the_same_user_need_one(open_path: Path, root: None, keys: dict[str, Any]) -> None:
    """Nobody gives himself a group."""
    app = shell("a", "id", cwd="/", autorestart=False, **keys)
    argv = [*capabilities(), PIDONE, "--socket", "none", ecosystem(open_path, app)]
    with Running(argv, cwd="/") as run:
        assert run.wait() == 78
        assert run.err is not None
        assert "CAP_SETGID" in run.err.text()


def test_who_may_not_change_groups_is_told_at_once(open_path: Path, root: None) -> None:
    """CAP_SETUID alone would leave the app in our groups."""
    app = shell("a", "id -u", cwd="/", autorestart=False, uid=UNKNOWN)
    argv = [*capabilities("setuid"), PIDONE, "--socket", "none", ecosystem(open_path, app)]
    with Running(argv, cwd="/") as run:
        assert run.wait() == 78
        assert run.err is not None
        assert "CAP_SETGID" in run.err.text()


RESTRICTED: dict[str, Any] = {
    "uid": "nobody",
    "umask": "027",
    "no_new_privs": True,
    "limits": {"nofile": 77},
    "unset_env": ["KEPT"],
    "filter_env": ["SECRET"],
    "env": {"OTHER": "1"},
}
EXPECTED = [
    "uid=65534 gid=65534 groups=65534 50 100 umask=0027 nofile=77",
    "NoNewPrivs:\t1",
    "HOME=/nonexistent",
    "LOGNAME=nobody",
    "OTHER=1",
    "USER=nobody",
]


def test_commands_beside_an_app_are_as_the_app(open_path: Path, root: None) -> None:
    """Hooks, exec probes and alerts: its user, groups, limits and mask, and no variable kept from it."""
    prepare(open_path)
    app = shell("a", "sleep 1000", cwd="/", **RESTRICTED)
    app["args"] = ["-c", f"{SHOW} exec sleep 1000", "sh", str(open_path), "app"]
    app["pre_start"] = command(open_path, "hook")
    app["ready"] = {"exec": command(open_path, "probe")}
    alert = {"name": "x", "memory": 1, "exec": command(open_path, "alert")}
    file = ecosystem(open_path, app, alerts=[alert])
    env = ["env", "KEPT=from outside", "SECRET_KEY=x"]
    argv = [*with_memberships(open_path), *ROOTS_GROUPS, *env, PIDONE, "--socket", "none", file]
    with Running(argv, cwd="/"):
        for name in ("app", "hook", "probe", "alert"):
            assert seen(open_path, name) == EXPECTED, name


def test_a_webhook_is_delivered_by_the_runtime(open_path: Path, root: None) -> None:
    """Its URL is a secret that the app's user could read from the environment of what delivers it."""
    owners: list[int] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            senders = [pid for pid in descendants(run.pid) if "control.alerts.webhook" in command_of(pid)]
            owners.extend(Path(f"/proc/{pid}").stat().st_uid for pid in senders)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    alert = {"name": "x", "memory": 1, "webhook": f"http://127.0.0.1:{server.server_port}/hook"}
    file = ecosystem(open_path, shell("a", "exec sleep 1000", cwd="/", **RESTRICTED), alerts=[alert])
    try:
        with Running([PIDONE, "--socket", "none", file], cwd="/") as run:
            eventually(lambda: owners, "the webhook")
    finally:
        server.shutdown()
        server.server_close()
    assert owners == [0]
