"""A whole cluster on one node, in namespaces of its own: to end it is to kill one process.

pidone runs it, as PID 1 of those namespaces: it starts etcd before the API and the API before everything
else, adopts containerd's shims, and says in one log what all of them say.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness import PIDONE, children, eventually
from k8s.cluster import configuration, programs
from k8s.cluster.configuration import DNS_IP, NAME, NODE_IP, SERVICES, Layout
from k8s.cluster.programs import ClusterError

START_S = 600.0
"""How long a start may take on a slow, busy machine before it is called a hang."""
PROBE_S = 60
"""What asks whether something is ready is a program to be started, too."""
CGROUPS = Path("/sys/fs/cgroup")
WEIGHTS = {"cpu.shares": 8 * 1024, "cpu.weight": 8 * 100}
"""By version 1 and 2: all pods together count as eight processes of the machine, by default as one."""
FOLDER, CGROUP = "node-", "pidone-k8s-"
"""Both are followed by the pid of the tests whose cluster it is."""

BOOT = """
set -e
mount --make-rshared /
mount -t tmpfs run /run
mkdir -p "$1/var/upper" "$1/var/work"
mount -t overlay var /var -o "lowerdir=/var,upperdir=$1/var/upper,workdir=$1/var/work"
ip link set lo up
for each in $2; do ip address add "$each/32" dev lo; done
echo 1 >/proc/sys/net/ipv4/ip_forward
exec "$3" --no-auto-exit "$1/cluster.json"
"""
"""What is written to /run and /var (CNI, shims, logs of pods) is seen by nobody else, and goes with the
mounts. The addresses are where the API listens, and whom pods ask for names."""


class Node:
    """A running cluster."""

    def __init__(self, layout: Layout, pid: int) -> None:
        """Look at the cluster whose PID 1 is `pid` here."""
        self.layout = layout
        self.pid = pid

    def inside(self, *command: str) -> list[str]:
        """The command as it has to be called to be in the cluster's network."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *command]

    def env(self) -> dict[str, str]:
        """The environment with which `kubectl` finds the cluster."""
        return {**os.environ, "KUBECONFIG": str(self.layout.admin), "PATH": programs.path()}

    def kubectl(self, *arguments: str) -> str:
        """Run the client as admin; its output. Raises ClusterError."""
        return self._run(*self.inside("kubectl", *arguments))

    def load(self, archive: Path) -> None:
        """Have the images of an archive."""
        address = str(self.layout.containerd)
        self._run("ctr", "--address", address, "--namespace", "k8s.io", "images", "import", str(archive))

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, env=self.env(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"{command}: {done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
        return done.stdout


@contextlib.contextmanager
def running(archives: Callable[[], Sequence[Path]]) -> Iterator[Node]:
    """A cluster whose node is ready and has these images, asked for while it starts. Raises ClusterError."""
    _sweep()
    folder = programs.home().parent / f"{FOLDER}{os.getpid()}"
    layout = Layout(folder, f"{CGROUP}{os.getpid()}")
    folder.mkdir(mode=0o700)
    try:
        with _cgroups(layout.cgroup):
            configuration.write(layout)
            (folder / "cluster.json").write_text(json.dumps(_ecosystem(layout), indent=2))
            with _namespaces(layout) as node:
                made = archives()
                _wait_for(node, "ctr", "--address", str(layout.containerd), "version")
                for archive in made:
                    node.load(archive)
                _wait_for(node, "kubectl", "get", f"node/{NAME}", "serviceaccount/default")
                node.kubectl("wait", "--for=condition=Ready", f"node/{NAME}", f"--timeout={START_S:.0f}s")
                yield node
    finally:
        shutil.rmtree(folder)


def _sweep() -> None:
    """Remove what is left of clusters whose tests were killed: folders and empty cgroups."""
    for folder in programs.home().parent.glob(f"{FOLDER}*"):
        if _is_stale(folder.name.removeprefix(FOLDER)):
            shutil.rmtree(folder)
    for cgroup in (*CGROUPS.glob(f"{CGROUP}*"), *CGROUPS.glob(f"*/{CGROUP}*")):
        if _is_stale(cgroup.name.removeprefix(CGROUP)):
            _remove(cgroup)


def _is_stale(pid: str) -> bool:
    return pid == str(os.getpid()) or not Path("/proc", pid).exists()  # in a container they soon repeat


@contextlib.contextmanager
def _namespaces(layout: Layout) -> Iterator[Node]:
    """PID 1 of new network, mount and PID namespaces, and all that it starts."""
    with (layout.root / "cluster.log").open("wb") as log:
        unshare = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),  # whatever becomes of the tests
                *("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
                *("sh", "-c", BOOT, "boot", str(layout.root), f"{NODE_IP} {DNS_IP}", PIDONE),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": programs.path()},
            start_new_session=True,  # ^C is for the tests; the cluster goes after them
        )
    try:
        yield Node(layout, eventually(lambda: children(unshare.pid), "unshare to fork", START_S)[0])
    finally:
        with contextlib.suppress(ProcessLookupError):
            for pid in children(unshare.pid):
                os.kill(pid, signal.SIGKILL)
        unshare.wait(START_S)


@contextlib.contextmanager
def _cgroups(name: str) -> Iterator[None]:
    """A cgroup of this name in every hierarchy, empty in the end."""
    hierarchies = [CGROUPS] if (CGROUPS / "cgroup.controllers").exists() else list(CGROUPS.iterdir())
    created = [hierarchy / name for hierarchy in hierarchies]
    for folder in created:
        folder.mkdir()
        for file, weight in WEIGHTS.items():
            if (folder / file).exists():
                (folder / file).write_text(str(weight))
    try:
        yield
    finally:
        for folder in created:
            eventually(partial(_remove, folder), f"{folder} to be empty", START_S)


def _remove(cgroup: Path) -> bool:
    """Whether it is gone now; the kernel refuses while it still buries a process."""
    with contextlib.suppress(OSError):
        for folder, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(folder)
    return not cgroup.exists()


def _wait_for(node: Node, *command: str) -> None:
    """Repeat a command in the cluster's network until it succeeds. Raises ClusterError."""
    deadline = time.monotonic() + START_S
    while subprocess.run(node.inside(*command), env=node.env(), capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise ClusterError(f"{command} still fails after {START_S} s:\n{told(node.layout)}")
        time.sleep(0.2)


def told(layout: Layout, count: int = 60) -> str:
    """The last lines of the cluster's log."""
    lines = (layout.root / "cluster.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-count:])


def _ecosystem(layout: Layout) -> dict[str, Any]:
    """The cluster as an ecosystem: what runs, when it can work, and what waits for it."""
    root, pki = layout.root, layout.pki
    answers = ["kubectl", "--kubeconfig", str(layout.admin), "get", "--raw", "/readyz"]
    api = {"apiserver": "ready"}
    return {
        "apps": [
            _app("etcd", ["etcd", "--data-dir", "/run/etcd"], "http:http://127.0.0.1:2379/health"),
            _app(
                "apiserver",
                [
                    "kube-apiserver",
                    "--etcd-servers=http://127.0.0.1:2379",
                    f"--advertise-address={NODE_IP}",
                    f"--service-cluster-ip-range={SERVICES}",
                    "--authorization-mode=Node,RBAC",
                    "--enable-admission-plugins=NodeRestriction",
                    f"--client-ca-file={pki}/ca.crt",
                    f"--tls-cert-file={pki}/apiserver.crt",
                    f"--tls-private-key-file={pki}/apiserver.key",
                    "--kubelet-preferred-address-types=InternalIP",
                    f"--kubelet-certificate-authority={pki}/ca.crt",
                    f"--kubelet-client-certificate={pki}/apiserver.crt",
                    f"--kubelet-client-key={pki}/apiserver.key",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-key-file={pki}/accounts.pub",
                    f"--service-account-signing-key-file={pki}/accounts.key",
                    "--cert-dir=/run/apiserver",
                ],
                {"exec": answers, "interval": "500ms", "timeout": f"{PROBE_S}s"},
                {"etcd": "ready"},
            ),
            _app(
                "controller-manager",
                [
                    "kube-controller-manager",
                    f"--kubeconfig={root}/controller-manager.kubeconfig",
                    f"--service-account-private-key-file={pki}/accounts.key",
                    f"--root-ca-file={pki}/ca.crt",
                    "--use-service-account-credentials",
                    "--leader-elect=false",
                    "--cert-dir=/run/controller-manager",
                ],
                "tcp:127.0.0.1:10257",
                api,
            ),
            _app(
                "scheduler",
                [
                    "kube-scheduler",
                    f"--kubeconfig={root}/scheduler.kubeconfig",
                    "--leader-elect=false",
                    "--cert-dir=/run/scheduler",
                ],
                "tcp:127.0.0.1:10259",
                api,
            ),
            _app(
                "proxy",
                ["kube-proxy", f"--config={root}/proxy.json"],
                "http:http://127.0.0.1:10256/healthz",
                api,
            ),
            _app(
                "dns",
                ["coredns", "-conf", f"{root}/Corefile"],
                "http:http://127.0.0.1:8181/ready",
                api,
            ),
            _app(
                "containerd",
                ["containerd", "--config", f"{root}/containerd.toml"],
                {"exec": ["ctr", "--address", str(layout.containerd), "version"], "timeout": f"{PROBE_S}s"},
            ),
            _app(
                "kubelet",
                [
                    "kubelet",
                    f"--config={root}/kubelet.json",
                    f"--kubeconfig={root}/kubelet.kubeconfig",
                    f"--root-dir={root}/kubelet",
                    f"--hostname-override={NAME}",
                    f"--node-ip={NODE_IP}",
                    "--node-labels=topology.kubernetes.io/zone=here",
                ],
                "http:http://127.0.0.1:10248/healthz",
                {**api, "containerd": "ready"},
            ),
        ]
    }


def _app(
    name: str, command: Sequence[str], ready: object, depends_on: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "script": command[0],
        "args": list(command[1:]),
        "interpreter": "none",
        "ready": ready,
        "listen_timeout": f"{START_S:.0f}s",
        "on_ready_timeout": "fail",
        "restart_delay": "1s",
        "depends_on": depends_on or {},
    }


__all__ = ["Node", "running", "told"]
