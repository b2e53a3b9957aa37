"""A small machine with a kernel of its own and a unified hierarchy of control groups: qemu without any help.

The root is a Debian's, all of it in the initramfs; nothing is written anywhere. Results come over the serial
line.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from platforms.roots import CACHE, MIRROR, REPOSITORY, MissingError, debian, program, run

MOST_S: Final = 3600.0
"""Longest life of a machine."""
MEMORY: Final = "2G"
FOCAL: Final = (
    "http://archive.ubuntu.com/ubuntu/pool/main/l/linux-signed/"
    "linux-image-5.4.0-216-generic_5.4.0-216.236_amd64.deb"
)
FOCAL_SHA256: Final = "9ab123036173136d766f49cbcd7decb7ab3da629985abd2c7b12a733b1601514"
"""Linux 5.4, which no Debian has had."""
END: Final = '{"name": "end"}'
INIT: Final = REPOSITORY / "tests/platforms/init.sh"
LEFT_OUT: Final = ("./src/docker", "./src/runtime", "./out", "./opt/venv", "./var/cache/apt", "./var/lib/apt")
"""Of the root; the machine's memory holds all of it."""


def kernel(suite: str) -> Path:
    """The kernel for virtual machines of a Debian's suite, or Ubuntu's `focal`. Raises MissingError."""
    folder = CACHE / f"kernel-{suite}"
    if not any(folder.glob("boot/vmlinuz-*")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if suite == "focal":
            _download_focal(folder)
        else:
            _download(suite, folder)
        (package,) = folder.glob("*.deb")
        run("dpkg", "-x", str(package), str(folder))
        package.unlink()
        shutil.rmtree(folder / "lib", ignore_errors=True)  # modules: nothing that the suite needs is one
    return next(iter(folder.glob("boot/vmlinuz-*")))


def _download(suite: str, folder: Path) -> None:
    apt = _apt(suite)
    depends = run("apt-cache", *apt, "depends", "linux-image-cloud-amd64").splitlines()
    name = next((line.split()[-1] for line in depends if "Depends:" in line), None)
    if name is None:
        raise MissingError(f"Debian's {suite} has no kernel for virtual machines")
    run("apt-get", *apt, "download", name, cwd=folder)


def _download_focal(folder: Path) -> None:
    """By its digest: a Debian has no key of Ubuntu's archive, and this release has had its last update."""
    try:
        with urllib.request.urlopen(FOCAL, timeout=60) as answer:
            package = answer.read()
    except OSError as error:
        raise MissingError(f"{FOCAL}: {error}") from error
    if hashlib.sha256(package).hexdigest() != FOCAL_SHA256:
        raise MissingError(f"{FOCAL} is not what it was")
    (folder / "kernel.deb").write_bytes(package)


def _apt(suite: str) -> list[str]:
    """Options of an apt that knows this suite only, and changes nothing of the machine's own."""
    state = CACHE / f"apt-{suite}"
    for each in ("lists/partial", "cache/archives/partial", "parts"):
        (state / each).mkdir(parents=True, exist_ok=True)
    sources = state / "sources.list"
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [arch=amd64 signed-by={keys}] {MIRROR} {suite} main\n")
    options = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": state / "parts",
        "Dir::State::Lists": state / "lists",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    run("apt-get", *words, "update", "-q")
    return words


def initramfs(root: Path) -> Path:
    """The root as one archive."""
    archive = CACHE / "initramfs.gz"
    cpio = program("cpio", package="cpio")
    pruned = " -o ".join(f"-path {path}" for path in LEFT_OUT)
    shutil.copy2(INIT, root / "init")
    (root / "init").chmod(0o755)
    script = f"find . -xdev \\( {pruned} \\) -prune -o -print0 | {cpio} -0 -o -H newc --quiet"
    with subprocess.Popen(["sh", "-c", script], cwd=root, stdout=subprocess.PIPE) as packing:
        assert packing.stdout is not None
        with gzip.open(archive, "wb", compresslevel=1) as packed:
            shutil.copyfileobj(packing.stdout, packed)
    if packing.returncode:
        raise MissingError(f"cpio: exit code {packing.returncode}")
    return archive


def boot(suite: str, names: list[str]) -> Iterator[str]:
    """Boot that suite's kernel, and pass on what the suite prints there. Raises MissingError."""
    emulator = program("qemu-system-x86_64", package="qemu-system-x86")
    image = kernel(suite)
    root = debian("bookworm")
    (root / "src/names").write_text(" ".join(names))
    command = [
        *(emulator, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY, "-nographic"),
        *("-no-reboot", "-nic", "none", "-kernel", str(image), "-initrd", str(initramfs(root))),
        *("-append", "console=ttyS0 quiet panic=-1 psi=1 cgroup_no_v1=all"),
    ]
    deadline = time.monotonic() + MOST_S
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as machine:
        assert machine.stdout is not None
        timer = subprocess.Popen(
            ["sh", "-c", f"sleep {MOST_S:.0f}; kill {machine.pid}"], start_new_session=True
        )
        try:
            yield from _said(machine.stdout)
        finally:
            os.killpg(timer.pid, 15)
            timer.wait()
            machine.kill()
    if time.monotonic() > deadline:
        raise MissingError(f"the machine did not end within {MOST_S:.0f} s")


def _said(lines: Iterator[str]) -> Iterator[str]:
    """What looks like a result, until the end."""
    for line in lines:
        text = line.strip()
        if text == END:
            return
        if text.startswith('{"name"'):
            yield text
