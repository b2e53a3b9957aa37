"""The cluster's programs: Kubernetes and CoreDNS from Go modules, etcd and the rest from Debian."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from docker.engine import CACHE, PACKAGES, install

GO = Path(__file__).parent / "go"
"""Our own module, which names the release of everything that is built."""
POLICIES = Path(__file__).parent / "policies"
"""What enforces NetworkPolicies: a module of its own, for it needs other releases of the same libraries."""

KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)
DEBIAN = ("containerd", "containernetworking-plugins", "etcd-server", "runc")
BUILD_S = 3600.0


class ClusterError(Exception):
    """There is no cluster and none can be made."""


def version() -> str:
    """The release of Kubernetes that the module requires, such as v1.34.4."""
    found = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (GO / "go.mod").read_text())
    if found is None:
        raise ClusterError(f"{GO}/go.mod requires no k8s.io/kubernetes")
    return found[1]


def home() -> Path:
    """Where the programs are kept between runs: those of this release, and of these sources of ours."""
    sources = sorted(file for file in GO.rglob("*") if file.is_file())
    content = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    return CACHE / "k8s" / f"{version()}-{content[:8]}"


def path() -> str:
    """A PATH on which all of them are found, before those of the machine."""
    debian = home() / "debian"
    return ":".join(
        [
            str(home() / "bin"),
            str(_policies().parent),
            f"{debian}/usr/sbin",
            f"{debian}/usr/bin",
            os.environ["PATH"],
        ]
    )


def _policies() -> Path:
    sources = sorted(file for file in POLICIES.iterdir() if file.is_file())
    content = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    return home().parent / f"policies-{content[:8]}" / "policies"


def plugins() -> Path:
    """The folder of the CNI plugins."""
    return home() / "debian/usr/lib/cni"


def install_packages() -> None:
    """Have what is Debian's, for images too: apt serves one at a time. Raises ClusterError, EngineError."""
    if os.geteuid() != 0:
        raise ClusterError("a node needs root: namespaces, mounts, cgroups")
    install(*PACKAGES)
    home().mkdir(parents=True, exist_ok=True)
    if not (home() / "debian").exists():
        _unpack_debian(home() / "debian")


def build() -> None:
    """Have what is Go's. Raises ClusterError."""
    if not (home() / "bin").exists():
        _build(home() / "bin")
    if not _policies().exists():
        _build_policies(_policies())


def _unpack_debian(folder: Path) -> None:
    """Unpacked, not installed: a package would start its service on this machine."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        options = ["-o", "APT::Sandbox::User=root"]  # the folder is ours alone
        subprocess.run(["apt-get", *options, "download", "-qq", *DEBIAN], check=True, cwd=work)
        root = Path(work) / "root"
        for package in Path(work).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        root.rename(folder)


def _build(folder: Path) -> None:
    """Everything in one go."""
    stamp = f"-s -w -X k8s.io/component-base/version.gitVersion={version()}"
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        packages = [*(f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES), "./coredns", "./pause"]
        _go_build(GO, f"{work}/", stamp, *packages)
        Path(work).rename(folder)
        Path(work).mkdir()  # the context manager removes it


def _build_policies(program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home().parent) as work:
        _go_build(POLICIES, f"{work}/", "-s -w", ".")
        program.parent.mkdir(exist_ok=True)
        (Path(work) / program.name).rename(program)


def _go_build(module: Path, output: str, flags: str, *packages: str) -> None:
    """At low priority: other tests may run meanwhile. Raises ClusterError."""
    if not shutil.which("go"):
        raise ClusterError("a Go toolchain is needed on the PATH to build Kubernetes")
    options = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", output]
    done = subprocess.run(
        ["nice", "go", "build", *options, *packages],
        cwd=module,
        env={**os.environ, "CGO_ENABLED": "0"},  # static: `pause` is all that its image has
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    if done.returncode:
        raise ClusterError(f"go build: {done.returncode}\n{done.stderr[-3000:]}")
