"""The bundle in images of all kinds: one folder, copied, and nothing of the image needed."""

import ast
import hashlib
import io
import json
import re
import subprocess
import tarfile
import uuid
import zlib
from pathlib import Path

import pytest
from docker.containers import PREFIX, Container, Ecosystem
from docker.images import OLD_BASE, REPOSITORY, build, build_stand_in, docker
from docker.measured import Report
from harness import eventually

from bench.figures import Figure

FOLDER = Path(__file__).parent / "stand_ins"
ELSEWHERE = ["--entrypoint", "/some/other/place/bin/pidone", "--tmpfs", "/watched"]
KINDS = ("busybox", "static", "node", "php", "nginx", "old")


@pytest.fixture(scope="module")
def bundle() -> str:
    """The `bundle` image."""
    return build("bundle", "pidone-test/bundle")


@pytest.fixture(scope="module", params=KINDS)
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
    "php": ["php", "-r", "while (true) sleep(1);"],
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


def elsewhere(bundle: str) -> str:
    """An image with nothing but busybox and the bundle, in another folder than usual."""
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
    return tag


def test_the_folder_can_be_anywhere(bundle: str) -> None:
    """Nothing in it knows where it is."""
    with Container(elsewhere(bundle), "--version", options=ELSEWHERE) as container:
        assert container.wait() == 0
        assert container.logs()[0].startswith("pidone ")


def test_the_environment_of_apps_is_the_containers(bundled: tuple[str, str]) -> None:
    """Nothing of the bundled interpreter, its loader or its locale is in it, in no locale and in C."""
    kind, image = bundled
    command = ["/service"] if kind == "static" else ["env"]
    for entrypoint, runs in (("pidone", ["--no-autorestart", "--", *command]), ("tini", ["--", *command])):
        options = ["--entrypoint", f"/opt/pidone/bin/{entrypoint}", "--env", "LANG=C"]
        with Container(image, *runs, options=options) as container:
            if kind == "static":
                eventually(lambda: any("ready" in line for line in container.logs()), "the service")
                container.stop()
            container.wait()
            lines = container.logs()
        said = [json.loads(line).get("message", "") if line.startswith("{") else line for line in lines]
        names = {line.removeprefix("env ").partition("=")[0] for line in said if "=" in line}
        assert {"PATH", "HOSTNAME", "LANG"} <= names
        assert not [name for name in names if name.startswith(("LD_", "LC_", "PYTHON"))], names


def test_it_is_small(bundle: str, figures: Report) -> None:
    """At most 24 MB unpacked and 15 MB compressed."""
    saved = subprocess.run(["docker", "save", bundle], check=True, capture_output=True).stdout
    compressed = len(zlib.compress(saved, 9)) / 1e6
    unpacked = int(docker("image", "inspect", "--format", "{{.Size}}", bundle)) / 1e6
    figures(Figure("image `bundle`: unpacked", "MB", [unpacked], target="≤ 24 MB", met=unpacked <= 24))
    figures(Figure("image `bundle`: compressed", "MB", [compressed], target="< 15 MB", met=compressed < 15))
    assert unpacked <= 24
    assert compressed < 15


def test_scanners_see_what_it_is_made_of(bundle: str) -> None:
    """A bill of materials, and the metadata of each package, which scanners look for by themselves."""
    found = contents(bundle)
    bill = json.loads(found["opt/pidone/sbom.cdx.json"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    named = {each["purl"].partition("@")[0] for each in bill["components"]}
    locked = re.findall(r"^([\w.-]+)==", (REPOSITORY / "docker/requirements.lock").read_text(), re.MULTILINE)
    left_out = {"anyio", "idna"}
    assert {f"pkg:pypi/{name}" for name in locked if name not in left_out} <= named
    assert "pkg:generic/cpython" in named
    assert any(name.startswith("pkg:deb/debian/libssl") for name in named)
    described = [text for name, text in found.items() if name.endswith(".dist-info/METADATA")]
    assert len(described) == len([name for name in named if name.startswith("pkg:pypi/")]) + 1
    assert all(re.search(rb"^Version: \d", text, re.MULTILINE) for text in described)


def test_tls_is_there_when_it_is_wanted(bundle: str) -> None:
    """Unpacked into memory by the first import, on a read-only root without any right; watchfiles too."""
    code = (
        "import watchfiles, ssl; "
        "print(ssl.OPENSSL_VERSION, len(ssl.create_default_context().get_ciphers()) > 5)"
    )
    python = [
        "--entrypoint",
        "/opt/pidone/libexec/python3",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--user",
        "4242",
    ]
    with Container(bundle, "-I", "-c", code, options=python) as container:
        assert container.wait() == 0, container.errors()
        assert re.fullmatch(r"OpenSSL 3.* True", container.logs()[0])


def test_tls_is_there_where_memory_has_no_files(bundle: str, tmp_path: Path) -> None:
    """A profile that is older than memfd_create(2), or forbids it: a file without a name takes its place."""
    profile = tmp_path / "seccomp.json"
    rule = {"names": ["memfd_create"], "action": "SCMP_ACT_ERRNO"}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    python = ["--entrypoint", "/opt/pidone/libexec/python3", "--security-opt", f"seccomp={profile}"]
    with Container(bundle, "-I", "-c", "import watchfiles, ssl; print('there')", options=python) as container:
        assert container.wait() == 0, container.errors()
        assert container.logs() == ["there"]


IMPORTS = """
import importlib, sys
for name in sys.argv[1:]: importlib.import_module(name)
print(len(sys.argv) - 1, "modules of", sys.executable)
"""


def imported_by_pidone() -> set[str]:
    """Every module that a source of pidone names, anywhere in it; not those that apps' interpreters run."""
    found: set[str] = set()
    for path in (REPOSITORY / "runtime").rglob("*.py"):
        if {"preload", "shim"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found


def test_nothing_that_pidone_imports_was_left_out(bundle: str) -> None:
    """Modules that are only imported in rare moments are there, for the interpreter of helpers too."""
    names = sorted(imported_by_pidone())
    python = ["--entrypoint", "/opt/pidone/libexec/python3"]
    with Container(bundle, "-I", "-c", IMPORTS, *names, options=python) as container:
        assert container.wait() == 0, container.errors()
        assert container.logs() == [f"{len(names)} modules of /opt/pidone/libexec/python3"]


WATCHED = """
[runtime]
socket = "none"
[[apps]]
name = "watched"
script = "sleep"
args = ["3600"]
interpreter = "none"
watch = ["/watched"]
[[smoke]]
name = "trial"
exec = ["sh", "-c", "exit 0"]
"""


def test_helpers_of_its_own_run_from_any_folder(bundle: str, ecosystem: Ecosystem) -> None:
    """Watching files is a process of the bundled interpreter, without a Python or libc of the image."""
    options = [*ecosystem(WATCHED), *ELSEWHERE]
    with Container(elsewhere(bundle), "/app/ecosystem.toml", options=options) as container:
        container.expect(event="instance.online")

        def noticed() -> bool:
            container.exec("sh", "-c", "echo >/watched/changed")
            return bool(container.find(event="app.files_changed"))

        eventually(noticed, "the change to be noticed")
        assert container.stop() == 0


SITE = """
[runtime]
socket = "none"
[[static]]
name = "site"
path = "/app/site"
port = 8080
instances = 2
"""


def test_a_folder_is_served_where_there_is_no_server(
    bundle: str, ecosystem: Ecosystem, tmp_path: Path
) -> None:
    """The file server of `static` is a process of the bundled interpreter, and has all it needs in there."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page.svg").write_text("<svg/>")
    options = [*ecosystem(SITE), *ELSEWHERE]
    with Container(elsewhere(bundle), "/app/ecosystem.toml", options=options) as container:
        container.expect(event="instance.online", app="site", count=2)
        answer = container.exec("sh", "-c", "wget -S -O - http://127.0.0.1:8080/page.svg 2>&1")
        assert "200 OK" in answer
        assert "image/svg+xml" in answer
        assert "<svg/>" in answer
        assert container.stop() == 0
        assert container.errors() == ""


def test_smoke_starts_itself_from_any_folder(bundle: str, ecosystem: Ecosystem) -> None:
    """The runtime that `pidone smoke` tries is started by the bundled interpreter too."""
    options = [*ecosystem(WATCHED), *ELSEWHERE]
    with Container(elsewhere(bundle), "smoke", "/app/ecosystem.toml", options=options) as container:
        assert container.wait() == 0, container.logs()
        assert "trial" in "\n".join(container.logs())


def test_two_builds_are_the_same(bundle: str) -> None:
    """Built again from nothing, every file has the same bytes, mode and time, and the layer its digest."""
    again = build("bundle", "pidone-test/bundle-again", "--no-cache")
    assert len(listing(bundle)) > 500
    assert listing(again) == listing(bundle)
    layers = [
        docker("image", "inspect", "--format", "{{.RootFS.Layers}}", image) for image in (bundle, again)
    ]
    assert layers[0] == layers[1]


def listing(image: str) -> dict[str, tuple[int, int, str]]:
    """Mode, time and hash (or target) of everything in an image."""
    found = {}
    with exported(image) as archive:
        for member in archive:
            if member.name.startswith("opt"):
                file = archive.extractfile(member) if member.isreg() else None
                content = hashlib.sha256(file.read()).hexdigest() if file else member.linkname
                found[member.name] = (member.mode, int(member.mtime), content)
    return found


def contents(image: str) -> dict[str, bytes]:
    """Every regular file in an image."""
    with exported(image) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isreg()}
        return {name: file.read() for name, file in files.items() if file}


def exported(image: str) -> tarfile.TarFile:
    """The files of an image."""
    name = f"{PREFIX}{uuid.uuid4().hex[:12]}"
    docker("create", "--name", name, image)
    try:
        saved = subprocess.run(["docker", "export", name], check=True, capture_output=True).stdout
    finally:
        docker("rm", name)
    return tarfile.open(fileobj=io.BytesIO(saved))
