"""The bundle in images of all kinds: one folder, copied, and nothing of the image needed."""

import io
import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest
from docker.containers import Container
from docker.images import OLD_BASE, build, build_stand_in, docker

FOLDER = Path(__file__).parent / "stand_ins"


@pytest.fixture(scope="module")
def bundle() -> str:
    """The `bundle` image."""
    return build("bundle", "pidone-test/bundle")


@pytest.fixture(scope="module", params=["busybox", "static", "node", "nginx", "old"])
def bundled(request: pytest.FixtureRequest, bundle: str) -> tuple[str, str]:
    """The kind of an image, and that image with the bundle in it."""
    kind = request.param
    if kind in ("busybox", "static"):
        image = build_stand_in("bare", f"pidone-test/{kind}", target=kind)
    elif kind == "old":
        image = OLD_BASE
    else:
        image = build_stand_in(kind, f"pidone-test/{kind}-base")
    tag = f"pidone-test/bundle-in-{kind}"
    arguments = ("--build-arg", f"BUNDLE={bundle}", "--build-arg", f"IMAGE={image}")
    file = str(FOLDER / "with_bundle.Dockerfile")
    docker("buildx", "build", "--quiet", "--load", "--file", file, *arguments, "--tag", tag, str(FOLDER))
    return kind, tag


COMMANDS = {
    "busybox": ["sleep", "3600"],
    "static": ["/service"],
    "node": ["node", "-e", "process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000)"],
    "nginx": ["nginx", "-g", "daemon off;"],
    "old": ["python3", "-c", "import signal; signal.pause()"],
}


def test_it_is_process_1_in_any_image(bundled: tuple[str, str]) -> None:
    """PID 1 starts the image's own program with no Python, libc or shell of the image, and stops with 0."""
    kind, image = bundled
    options = ["--entrypoint", "/opt/pidone/bin/pidone"]
    with Container(image, "--", *COMMANDS[kind], options=options) as container:
        assert container.expect(event="runtime.start")["pid"] == 1
        container.expect(event="instance.online")
        assert container.stop() == 0
        assert container.errors() == ""


def test_other_inits_names_work(bundled: tuple[str, str]) -> None:
    """The folder's `tini` passes on the command's exit code."""
    kind, image = bundled
    command = {"static": ["/nothing-like-this"]}.get(kind, ["sh", "-c", "exit 5"])
    options = ["--entrypoint", "/opt/pidone/bin/tini"]
    with Container(image, "--", *command, options=options) as container:
        assert container.wait() == (127 if kind == "static" else 5)


def test_the_folder_can_be_anywhere(bundle: str) -> None:
    """Nothing in it knows where it is."""
    image = build_stand_in("bare", "pidone-test/busybox", target="busybox")
    tag = "pidone-test/bundle-elsewhere"
    recipe = f"FROM {bundle} AS bundle\nFROM {image}\nCOPY --from=bundle /opt/pidone /some/other/place\n"
    subprocess.run(
        ["docker", "buildx", "build", "--quiet", "--load", "--tag", tag, "-"],
        input=recipe,
        text=True,
        check=True,
        capture_output=True,
    )
    with Container(tag, "--version", options=["--entrypoint", "/some/other/place/bin/pidone"]) as container:
        assert container.wait() == 0
        assert container.logs()[0].startswith("pidone ")


def test_the_loader_does_not_reach_the_apps(bundled: tuple[str, str]) -> None:
    """The app's environment has no variable of the bundled interpreter or its loader."""
    kind, image = bundled
    command = ["/service"] if kind == "static" else ["env"]
    options = ["--entrypoint", "/opt/pidone/bin/pidone"]
    with Container(image, "--no-autorestart", "--", *command, options=options) as container:
        container.expect(event="instance.online" if kind == "static" else "instance.exit")
        if kind == "static":
            container.stop()
        said = [record["message"] for record in container.find(stream="stdout")]
    assert said
    names = {line.removeprefix("env ").partition("=")[0] for line in said}
    assert not [name for name in names if name.startswith(("LD_", "PYTHON"))], names


def test_it_is_small(bundle: str) -> None:
    """Under 40 MB unpacked and 15 MB compressed."""
    saved = subprocess.run(["docker", "save", bundle], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        layers = [archive.extractfile(member) for member in archive if member.name.endswith("layer.tar")]
        (layer,) = (file.read() for file in layers if file is not None)
    assert int(docker("image", "inspect", "--format", "{{.Size}}", bundle)) < 40_000_000
    assert len(zlib.compress(layer, 9)) < 15_000_000
