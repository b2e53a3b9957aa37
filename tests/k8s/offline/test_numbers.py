"""Numbers that stand in several places agree with each other: k8s/README.md explains each."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
from harness import PIDONE
from k8s.offline.tools import K8S, OVERLAYS, REPOSITORY, build
from k8s.offline.workloads import Workload, seconds, workloads, written

from pidone.control.answers import healthz, metrics
from pidone.ecosystem.consistency import MARGIN
from pidone.init.exitcodes import ExitCode

BACKEND = REPOSITORY / "docker/backend"
NODE_API = REPOSITORY / "docker/node-api"
SOURCES = ["base", *OVERLAYS]
PODS = 5
"""Up to so many the databases of the components are made for."""


def of(source: str) -> list[Workload]:
    """The workloads of an overlay, or of the base as it is written."""
    return [*workloads(written() if source == "base" else build(f"overlays/{source}"))]


def supervised(source: str) -> list[Workload]:
    """Those that run pidone with an ecosystem."""
    found = [each for each in of(source) if each.has_ecosystem]
    assert found
    return found


def prestop(workload: Workload) -> float:
    """Seconds before SIGTERM."""
    sleep = workload.main.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    return float(sleep.get("seconds", 0))


def constant(file: Path, name: str) -> float:
    """A number that a program of the sample has in its source."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return float(ast.literal_eval(node.value))
    raise LookupError(name)


@pytest.mark.parametrize("source", SOURCES)
def test_the_grace_period_holds_all_that_a_stop_takes(source: str) -> None:
    """PreStop, the delay, the drain and a margin; and what pidone is told of it is what is left for it."""
    for workload in of(source):
        if not any(each["name"] == "pidone" for each in workload.containers):
            continue
        grace = workload.pod["terminationGracePeriodSeconds"]
        told = seconds(workload.env("PIDONE_TERMINATION_GRACE"))
        assert told == grace - prestop(workload), workload.name
        if workload.has_ecosystem:
            runtime, apps = workload.settings["runtime"], workload.settings["apps"]
            drain = max(seconds(app.get("kill_timeout", "8s")) for app in apps)
            delay = seconds(runtime.get("shutdown_delay", "0s"))
            assert seconds(runtime["shutdown_timeout"]) >= delay + drain + 1
            assert told >= seconds(runtime["shutdown_timeout"]) + MARGIN


@pytest.mark.parametrize("source", SOURCES)
def test_pidone_itself_has_nothing_to_say_against_it(source: str, tmp_path: Path) -> None:
    """Each ecosystem passes `pidone check --strict`, with the variables that its pod has."""
    for workload in supervised(source):
        app = NODE_API if "node-api" in workload.main["image"] else BACKEND
        file = tmp_path / f"{workload.thing['metadata']['name']}.toml"
        file.write_text(workload.ecosystem.replace('"/app"', f'"{app}"'))
        grace = workload.env("PIDONE_TERMINATION_GRACE")
        done = subprocess.run(
            [PIDONE, "check", "--strict", str(file)],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PIDONE_TERMINATION_GRACE": grace},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", SOURCES)
def test_probes_ask_where_pidone_answers(source: str) -> None:
    """The port is the ecosystem's `admin`, and the paths are those of pidone's probes."""
    paths = set(re.findall(r'"(/\w+z)"', Path(healthz.__file__).read_text()))
    assert paths == {"/livez", "/readyz", "/startupz"}
    for workload in supervised(source):
        ports = {port["name"]: port["containerPort"] for port in workload.main["ports"]}
        assert str(ports["admin"]) == workload.settings["runtime"]["admin"]
        asked = {
            kind: workload.main[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")
        }
        assert {each["port"] for each in asked.values()} == {"admin"}
        assert [each["path"] for each in asked.values()] == ["/startupz", "/readyz", "/livez"]


@pytest.mark.parametrize("source", SOURCES)
def test_requests_go_where_an_app_listens(source: str) -> None:
    """The container's port is one of `listen`, or the PORT of a program that opens it itself."""
    for workload in supervised(source):
        http = [port["containerPort"] for port in workload.main["ports"] if port["name"] == "http"]
        apps = workload.settings["apps"]
        opened = [port for app in apps for port in app.get("listen", ())]
        opened += [int(app["env"]["PORT"]) for app in apps if "PORT" in app.get("env", {})]
        assert http == opened, workload.name


@pytest.mark.parametrize("source", SOURCES)
def test_a_start_may_take_as_long_as_its_parts(source: str) -> None:
    """The startup probe waits for the migration as long as the program does, and then for the app."""
    for workload in supervised(source):
        probe = workload.main["startupProbe"]
        apps = workload.settings["apps"]
        ready = max(seconds(app.get("listen_timeout", "3s")) for app in apps)
        waits = any("--wait" in app.get("args", ()) for app in apps)
        patience = constant(BACKEND / "chat/migrate.py", "PATIENCE_S") if waits else 0
        assert probe["periodSeconds"] * probe["failureThreshold"] >= patience + ready
        assert workload.thing["spec"]["progressDeadlineSeconds"] >= patience + ready


@pytest.mark.parametrize("source", SOURCES)
def test_a_drain_fits_the_time_an_app_has(source: str) -> None:
    """WebSockets leave in slices, stragglers get as long, requests too: three times CHAT_DRAIN_S."""
    for workload in supervised(source):
        for app in workload.settings["apps"]:
            if "CHAT_DRAIN_S" in app.get("env", {}):
                assert 3 * float(app["env"]["CHAT_DRAIN_S"]) < seconds(app["kill_timeout"])


@pytest.mark.parametrize("source", SOURCES)
def test_a_rollout_never_has_fewer_pods(source: str) -> None:
    """Of what answers requests; a drain takes one at a time."""
    objects = written() if source == "base" else build(f"overlays/{source}")
    (backend,) = (each for each in of(source) if each.name == "Deployment/backend")
    assert backend.thing["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    (budget,) = (each for each in objects if each["kind"] == "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("source", ["local", "sidecar"])
def test_the_database_has_connections_for_everybody(source: str) -> None:
    """Five pods, one more during a rollout, all their processes with full pools, and room for psql."""
    found = {each.name: each for each in of(source)}
    used = 0.0
    for workload in supervised(source):
        pods = PODS + 1 if workload.name == "Deployment/backend" and source == "local" else 2
        cpus = int(workload.main["resources"]["limits"]["cpu"])
        for app in workload.settings["apps"]:
            count = cpus if app.get("instances") == "max" else 1
            pool = int(app.get("env", {}).get("CHAT_DB_POOL", 10 if app.get("depends_on") else 1))
            used += pods * count * pool
    args = found["StatefulSet/postgres"].containers[0]["args"]
    (most,) = (int(word.partition("=")[2]) for word in args if word.startswith("max_connections="))
    assert used + 3 <= most  # superuser_reserved_connections


def test_a_job_fails_at_once_for_what_never_heals() -> None:
    """By pidone's exit codes: usage, configuration, no such program; a deadline or an outage may pass."""
    (job,) = (each.thing for each in of("base") if each.thing["kind"] == "Job")
    fatal, drained = job["spec"]["podFailurePolicy"]["rules"]
    hopeless = {ExitCode.USAGE, ExitCode.CONFIG, ExitCode.NOT_EXECUTABLE, ExitCode.NOT_FOUND}
    assert set(fatal["onExitCodes"]["values"]) == hopeless
    assert (fatal["action"], drained["action"]) == ("FailJob", "Ignore")
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # else the policy is refused


def test_the_autoscaler_watches_a_metric_that_exists() -> None:
    """The one that its pods show on /metrics, as a gauge."""
    (scaler,) = (each for each in build("overlays/production") if each["kind"] == "HorizontalPodAutoscaler")
    names = [each["pods"]["metric"]["name"] for each in scaler["spec"]["metrics"] if each["type"] == "Pods"]
    assert names
    assert all(f'"{name}"' in Path(metrics.__file__).read_text() for name in names)
    (backend,) = (each for each in of("production") if each.name == "Deployment/backend")
    assert "replicas" not in backend.thing["spec"]
    assert scaler["spec"]["minReplicas"] > 1


def test_the_readme_explains_every_number() -> None:
    """Each number of seconds, and each limit, that stands in the base is in k8s/README.md."""
    text = (K8S / "README.md").read_text()
    (backend,) = (each for each in of("base") if each.name == "Deployment/backend")
    main, runtime = backend.main, backend.settings["runtime"]
    numbers = {
        "terminationGracePeriodSeconds": backend.pod["terminationGracePeriodSeconds"],
        "PIDONE_TERMINATION_GRACE": backend.env("PIDONE_TERMINATION_GRACE"),
        "preStop": int(prestop(backend)),
        "shutdown_delay": runtime["shutdown_delay"],
        "shutdown_timeout": runtime["shutdown_timeout"],
        "memory_guard": runtime["memory_guard"],
        "kill_timeout": backend.settings["apps"][1]["kill_timeout"],
        "minReadySeconds": backend.thing["spec"]["minReadySeconds"],
        "progressDeadlineSeconds": backend.thing["spec"]["progressDeadlineSeconds"],
        **{f"{kind}Probe": _spelt(main[f"{kind}Probe"]) for kind in ("startup", "readiness", "liveness")},
        "limits": " / ".join(main["resources"]["limits"].values()),
        "requests": " / ".join(main["resources"]["requests"].values()),
    }
    for name, number in numbers.items():
        assert f"| `{name}` | {number} |" in text, name


def _spelt(probe: dict[str, int]) -> str:
    return f"{probe['periodSeconds']} s, {probe['timeoutSeconds']} s, {probe['failureThreshold']} times"
