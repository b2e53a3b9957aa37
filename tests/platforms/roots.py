"""Roots and environments that the suite runs in: made once, outside the repository, and found again.

Everything is below `$XDG_CACHE_HOME/pidone/platforms`. What cannot be had raises MissingError with the
reason, which is what the table says then.
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pidone" / "platforms"
MIRROR: Final = "http://deb.debian.org/debian"
PACKAGES: Final = "ca-certificates,procps,python3,python3-venv"
CHROOT: Final = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && chroot "$0" "$@"; exit $?'
"""The shell stays process 1, for it reaps whoever is left: an emulator makes nobody a subreaper."""


class MissingError(Exception):
    """A cell cannot be had here; the text says why."""


def run(*command: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a command prints. Raises MissingError where it fails or does not exist."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
        )
    except OSError as error:
        raise MissingError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "said nothing").splitlines()[-1]
        raise MissingError(f"{' '.join(command)[:100]}: exit code {done.returncode}: {said}")
    return done.stdout


def program(*names: str, package: str) -> str:
    """The first of these programs that there is. Raises MissingError with the package that has it."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise MissingError(f"no {names[0]} here (Debian's package {package})")


def need_root() -> None:
    """Raises MissingError for anybody but root, who alone may mount and change the root."""
    if os.geteuid() != 0:
        raise MissingError("needs root: mounts, namespaces, chroot")


@functools.cache
def wheel() -> Path:
    """The package as it is now, for any Python and machine (its launcher in C is left out)."""
    folder = Path(tempfile.mkdtemp(prefix="platforms-"))
    atexit.register(shutil.rmtree, folder)
    hatchling = str(Path(sys.executable).with_name("hatchling"))
    run(hatchling, "build", "-t", "wheel", "--directory", str(folder), env={"CC": "false"}, cwd=REPOSITORY)
    (built,) = folder.glob("*-none-any.whl")
    return built


def environment(interpreter: str, name: str) -> Path:
    """A virtual environment with exactly the locked packages and today's pidone; its `pidone`."""
    folder = CACHE / f"venv-{name}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run(interpreter, "-m", "venv", str(folder))
        pip = [str(folder / "bin/pip"), "install", "-q", "--only-binary", ":all:", "--require-hashes"]
        run(*pip, "-r", str(REPOSITORY / "docker/requirements.lock"))
        (folder / "done").touch()
    run(str(folder / "bin/pip"), "install", "-q", "--no-deps", "--force-reinstall", str(wheel()))
    return folder / "bin/pidone"


def debian(suite: str, architecture: str | None = None) -> Path:
    """A small Debian with Python and pidone in /opt/pidone, of another architecture by the emulator."""
    need_root()
    root = CACHE / f"debian-{suite}-{architecture or 'native'}"
    if not (root / "made").exists():
        shutil.rmtree(root, ignore_errors=True)
        _bootstrap(root, suite, architecture)
        install(root, locked=True)
        (root / "made").touch()
    install(root, locked=False)
    return root


def _bootstrap(root: Path, suite: str, architecture: str | None) -> None:
    debootstrap = program("debootstrap", package="debootstrap")
    options = ["--variant=minbase", f"--include={PACKAGES}"]
    script = Path("/usr/share/debootstrap/scripts")
    rules = [] if (script / suite).exists() else [str(script / "sid")]  # a suite younger than the program
    CACHE.mkdir(parents=True, exist_ok=True)
    if architecture is None:
        run(debootstrap, *options, suite, str(root), MIRROR, *rules)
        return
    emulator = program(f"qemu-{emulated(architecture)}-static", package="qemu-user-static")
    if not Path(f"/proc/sys/fs/binfmt_misc/qemu-{emulated(architecture)}").exists():
        raise MissingError(
            f"the kernel starts no programs for {architecture}: binfmt-support and its package"
        )
    run(debootstrap, f"--arch={architecture}", "--foreign", *options, suite, str(root), MIRROR, *rules)
    shutil.copy2(emulator, root / "usr/bin")
    run("chroot", str(root), "/debootstrap/debootstrap", "--second-stage")


def emulated(architecture: str) -> str:
    """What the emulator calls it."""
    return {"arm64": "aarch64"}.get(architecture, architecture)


def install(root: Path, *, locked: bool) -> None:
    """Install the locked packages into a root, or today's pidone."""
    source = root / "src"
    source.mkdir(exist_ok=True)
    if locked:
        shutil.copy2(REPOSITORY / "docker/requirements.lock", source)
        for path in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt", "etc/pip.conf"):
            if Path("/", path).exists():  # a network whose TLS is signed by an authority of its own
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path("/", path), root / path)
        run(*inside(root, "python3", "-m", "venv", "/opt/pidone"))
        pip = ["/opt/pidone/bin/pip", "install", "-q", "--only-binary", ":all:", "--require-hashes"]
        run(*inside(root, *pip, "-r", "/src/requirements.lock"))
    else:
        built = wheel()
        for old in source.glob("*.whl"):
            old.unlink()
        shutil.copy2(built, source)
        (source / "platforms").mkdir(exist_ok=True)
        for name in ("core.py", "unified.py"):
            shutil.copy2(REPOSITORY / "tests/platforms" / name, source / "platforms")
        pip = ["/opt/pidone/bin/pip", "install", "-q", "--no-deps", "--force-reinstall"]
        run(*inside(root, *pip, f"/src/{built.name}"))


def inside(root: Path, *command: str) -> list[str]:
    """The command that runs another one in a root, whose mounts are gone when it has ended."""
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CHROOT, str(root), *command]


def python(version: str) -> str:
    """An interpreter of such a version (`3.12`). Raises MissingError."""
    places = [
        *sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*")),
        *sorted((Path.home() / ".local/share/uv/python").glob(f"cpython-{version}.*")),
    ]
    candidates = [str(place / f"bin/python{version}") for place in places]
    if found := shutil.which(f"python{version}"):
        candidates.append(found)
    for candidate in reversed(candidates):
        done = subprocess.run([candidate, "-c", "import venv, ctypes"], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
    raise MissingError(f"no Python {version} here (pyenv, uv or a package)")


def busybox(bundle: Path) -> Path:
    """A root of nothing but a static busybox and the bundle, as Alpine's is: no glibc, no Python."""
    need_root()
    binary = program("busybox", package="busybox-static")
    if subprocess.run(["ldd", binary], capture_output=True, check=False).returncode == 0:
        raise MissingError("busybox is not static here (Debian's package busybox-static)")
    root = _bare(CACHE / "busybox", binary)
    shutil.copytree(bundle, root / "opt/pidone", symlinks=True)
    return root


def musl() -> Path:
    """A root of busybox, musl and a Python built for it with the musllinux wheels; its `pidone`."""
    need_root()
    home, folder = CACHE / "python-musl", CACHE / "venv-musl"
    library = Path("/lib/ld-musl-x86_64.so.1")
    if not library.exists():
        raise MissingError("no musl here (Debian's package musl-tools)")
    if not (home / "bin/python3.13").exists():
        script = REPOSITORY / "tests/platforms/musl_python.sh"
        run("sh", str(script), str(home), env={"APT": " ".join(sources("trixie"))})
    pip = [str(Path(sys.executable).with_name("pip")), "--python", str(folder / "bin/python")]
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run(str(home / "bin/python3.13"), "-m", "venv", "--without-pip", str(folder))
        with tempfile.TemporaryDirectory() as wheels:
            kind = [*("--platform", "musllinux_1_2_x86_64"), *("--platform", "musllinux_1_1_x86_64")]
            only = ["--python-version", "3.13", "--only-binary", ":all:", "--no-deps", "--require-hashes"]
            lock = ["-r", str(REPOSITORY / "docker/requirements.lock")]
            run(pip[0], "download", "-q", "-d", wheels, *kind, *only, *lock)  # by an interpreter with TLS
            run(*pip, "install", "-q", "--no-index", "--no-deps", *map(str, Path(wheels).glob("*.whl")))
        (folder / "done").touch()
    run(*pip, "install", "-q", "--no-index", "--no-deps", "--force-reinstall", str(wheel()))
    root = _bare(CACHE / "musl", program("busybox", package="busybox-static"))
    (root / "lib").mkdir()
    shutil.copy2(library.resolve(), root / "lib" / library.name)
    for each in (home, folder):  # where they were made: scripts and links name it
        shutil.copytree(each, root / each.relative_to("/"), symlinks=True)
    return root


def sources(suite: str) -> list[str]:
    """Options of an apt that knows the sources of this suite only, and leaves the machine's own alone."""
    state = CACHE / f"apt-{suite}-sources"
    for each in ("lists/partial", "cache/archives/partial", "parts"):
        (state / each).mkdir(parents=True, exist_ok=True)
    known = state / "sources.list"
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    known.write_text(f"deb-src [signed-by={keys}] {MIRROR} {suite} main\n")
    options = (
        *(f"Dir::Etc::SourceList={known}", f"Dir::Etc::SourceParts={state}/parts"),
        *(f"Dir::State::Lists={state}/lists", f"Dir::Cache={state}/cache", "APT::Sandbox::User=root"),
    )
    words = [word for option in options for word in ("-o", option)]
    run("apt-get", *words, "update", "-q")
    return words


def _bare(root: Path, binary: str) -> Path:
    """A root with nothing but busybox and the suite."""
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("bin", "dev", "etc", "proc", "src", "tmp", "opt", "root"):
        (root / folder).mkdir(parents=True)
    shutil.copy2(binary, root / "bin/busybox")
    for name in run(binary, "--list").split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "src/platforms").mkdir()
    shutil.copy2(REPOSITORY / "tests/platforms/core.py", root / "src/platforms")
    return root


def bundle(suite: str, architecture: str | None = None) -> Path:
    """The self-contained folder, made in a Debian of that kind as docker/Dockerfile does it."""
    root = debian(suite, architecture)
    if not (root / "tools").exists():
        run(*inside(root, "sh", "-c", TOOLS))
        (root / "tools").touch()
    for name in ("docker", "runtime"):
        shutil.rmtree(root / "src" / name, ignore_errors=True)
        shutil.copytree(REPOSITORY / name, root / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(*inside(root, "sh", "-euc", BUNDLE))
    return root / "out/opt/pidone"


TOOLS: Final = "apt-get update -q && apt-get install -y -q --no-install-recommends binutils musl-tools"
BUNDLE: Final = """
export PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=0
rm -rf /out /opt/venv && mkdir -p /out/opt
python3 -m venv --without-pip /opt/venv
PATH=/opt/pidone/bin:$PATH sh /src/docker/install.sh /opt/venv /src/docker/requirements.lock
/opt/pidone/bin/pip --python /opt/venv/bin/python install -q --no-compile --no-deps --no-index /src/*.whl
sh /src/docker/bundle/build.sh /opt/venv /out/opt/pidone
"""
"""As the Dockerfile's stages `pidone` and `bundle-folder`."""
