"""PID 1 of real containers: identity, orphans, stops and exit codes."""

import pytest
from docker.apps import SLEEPER, TELLTALE
from docker.containers import Container, Ecosystem
from docker.images import BASE, REPOSITORY, docker
from docker.measured import Report
from harness import eventually

from bench.figures import Figure

FORKS = """
import os, time
for _ in range(50):
    if os.fork() == 0:
        os.fork()
        os._exit(0)
    os.wait()
print("forked", flush=True)
time.sleep(3600)
"""


def test_pidone_is_process_1_and_not_root(runtime: str, ecosystem: Ecosystem) -> None:
    """The entrypoint is PID 1 itself, as the image's user, with the app as its child."""
    with Container(runtime, options=ecosystem(SLEEPER)) as container:
        app = container.expect(event="instance.start")
        assert container.find(event="runtime.start")[0]["pid"] == 1
        assert "pidone" in container.exec("sh", "-c", "tr '\\0' ' ' </proc/1/cmdline")
        assert container.exec("id", "-u") == "10001"
        status = container.exec("cat", f"/proc/{app['pid']}/status")
        assert "PPid:\t1\n" in status
        assert "Uid:\t10001\t10001\t10001\t10001" in status


@pytest.mark.parametrize(
    ("place", "made"),
    [
        ("bash-completion/completions/pidone", "pidone.bash"),
        ("zsh/site-functions/_pidone", "_pidone"),
        ("fish/vendor_completions.d/pidone.fish", "pidone.fish"),
    ],
)
def test_the_shells_find_their_completion(runtime: str, place: str, made: str) -> None:
    """In the folders of /usr/local where each looks by itself."""
    text = docker("run", "--rm", "--entrypoint", "cat", runtime, f"/usr/local/share/{place}")
    assert text == (REPOSITORY / "docs/completion" / made).read_text().strip()


def test_orphans_are_reaped(runtime: str, ecosystem: Ecosystem) -> None:
    """Daemons that the app abandons and that end leave no zombie."""
    text = SLEEPER.replace('"sleep"', '"python3"').replace('["3600"]', f"['-c', '''{FORKS}''']")
    with Container(runtime, options=ecosystem(text)) as container:
        container.expect(message="forked")

        def only_the_app_is_left() -> bool:
            """No zombie, and no daemon that has yet to end and could become one."""
            found = container.processes()
            names = [name for _, _, name in found]
            return names.count("python3") == 1 and "Z" not in [state for _, state, _ in found]

        eventually(only_the_app_is_left, "the daemons to be gone")


def test_docker_stop_is_quick_and_in_order(runtime: str, ecosystem: Ecosystem) -> None:
    """Dependents stop before what they depend on, nothing waits for the engine's SIGKILL, the code is 0."""
    text = TELLTALE + TELLTALE.replace('name = "telltale"', 'name = "upper"\ndepends_on = ["telltale"]')
    with Container(runtime, options=ecosystem(text)) as container:
        container.expect(message="ready", count=2)
        assert container.stop(10) == 0
        ends = [record["app"] for record in container.find(event="instance.exit")]
        assert ends == ["upper", "telltale"]
        assert not container.state["OOMKilled"]


def test_an_app_that_will_not_stop_is_killed_inside_the_grace_of_docker(
    runtime: str, ecosystem: Ecosystem
) -> None:
    """The app ignores SIGTERM; pidone kills it itself and says so by its exit code."""
    text = TELLTALE.replace("sys.exit(0)", "pass").replace("interpreter", 'kill_timeout = "1s"\ninterpreter')
    with Container(runtime, options=ecosystem(text)) as container:
        container.expect(message="ready")
        assert container.stop(10) == 124
        assert container.find(event="instance.exit")[-1]["signal"] == "SIGKILL"


def test_an_engine_without_patience_is_137(runtime: str, ecosystem: Ecosystem) -> None:
    """Who gives the container less time than its apps need gets the engine's SIGKILL, and sees that."""
    text = TELLTALE.replace("sys.exit(0)", "pass")
    with Container(runtime, options=ecosystem(text)) as container:
        container.expect(message="ready")
        assert container.stop(1) == 137
        assert container.find(event="runtime.exit") == []


def test_the_code_of_an_essential_app_is_the_code_of_the_container(
    runtime: str, ecosystem: Ecosystem
) -> None:
    """The engine's restart policies see what the app meant."""
    text = SLEEPER.replace('"sleep"', '"sh"').replace('["3600"]', '["-c", "exit 42"]')
    with Container(runtime, options=ecosystem(f"{text}essential = true\nautorestart = false\n")) as container:
        assert container.wait() == 42


def test_a_broken_configuration_is_78(runtime: str, ecosystem: Ecosystem) -> None:
    """Nothing is started, and stderr names the key and a suggestion."""
    with Container(runtime, options=ecosystem(SLEEPER.replace("script", "scirpt"))) as container:
        assert container.wait() == 78
        assert "scirpt" in container.errors()
        assert "script" in container.errors()
        assert container.logs() == []


def test_a_missing_file_is_78(runtime: str) -> None:
    """The default command without an ecosystem in the image says what is missing."""
    with Container(runtime) as container:
        assert container.wait() == 78
        assert "ecosystem.toml" in container.errors()


def test_restart_policies_see_failures_only(runtime: str, ecosystem: Ecosystem) -> None:
    """`--restart on-failure:2` starts the container again after a code of its app, and not after a stop."""
    text = SLEEPER.replace('"sleep"', '"sh"').replace('["3600"]', '["-c", "exit 3"]')
    options = [*ecosystem(f"{text}essential = true\nautorestart = false\n"), "--restart", "on-failure:2"]
    with Container(runtime, options=options) as container:
        eventually(
            lambda: container.inspect()["RestartCount"] == 2 and not container.state["Running"],
            "two restarts",
        )
        assert container.state["ExitCode"] == 3
    with Container(runtime, options=[*ecosystem(SLEEPER), "--restart", "on-failure:2"]) as container:
        container.expect(event="instance.start")
        assert container.stop() == 0
        assert container.inspect()["RestartCount"] == 0


def test_the_image_is_small_and_says_what_it_is(runtime: str, figures: Report) -> None:
    """Under 35 MB over its base; labels, stop signal, entrypoint and names of other inits are there."""
    ours, base = (int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (runtime, BASE))
    added = (ours - base) / 1e6
    figures(Figure("image `runtime`: more than its base", "MB", [added], target="< 35 MB", met=added < 35))
    assert added < 35
    config = docker("image", "inspect", "--format", "{{json .Config}}", runtime)
    for part in (
        "org.opencontainers.image.licenses",
        '"StopSignal":"SIGTERM"',
        '"Entrypoint":["pidone"]',
        '"User":"10001:10001"',
    ):
        assert part in config
    with Container(runtime, "tini", "-s", "--", "sh", "-c", "exit 5", remove_entrypoint=True) as container:
        assert container.wait() == 5
