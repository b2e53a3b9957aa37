"""What each program of the node is told: kubeconfigs, kubelet, proxy, containerd, network, DNS."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s.cluster import programs
from k8s.cluster.certificates import Authority

NAME = "node"
NODE_IP = "10.94.0.1"
DNS_IP = "169.254.20.10"
"""Whom pods ask for names: the node itself, at the address of NodeLocal DNSCache, no pod of any namespace."""
PODS = "10.95.0.0/16"
SERVICES = "10.96.0.0/16"
API_IP = "10.96.0.1"
"""Kubernetes gives the first address of the services' network to its own API. All of these live in a network
namespace with no way out, so they meet nobody's."""

API = f"https://{NODE_IP}:6443"
PAUSE = "pidone-test/pause:1"


@dataclass(frozen=True)
class Layout:
    """Where things are in the folder of one cluster."""

    root: Path
    cgroup: str
    """Name of the cgroup, in every hierarchy, below which the kubelet puts the pods."""

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def admin(self) -> Path:
        """The kubeconfig of a user who may do everything."""
        return self.root / "admin.kubeconfig"

    @property
    def containerd(self) -> Path:
        """The socket of the container runtime."""
        return self.root / "containerd.sock"


def write(layout: Layout) -> None:
    """Write everything that is a file."""
    authority = Authority(layout.pki)
    serving = [f"IP:{NODE_IP}", f"IP:{API_IP}", "IP:127.0.0.1", f"DNS:{NAME}", "DNS:kubernetes.default.svc"]
    authority.issue("apiserver", "kube-apiserver", group="system:masters", addresses=serving)
    for name, user, group in (
        ("admin", "admin", "system:masters"),
        ("controller-manager", "system:kube-controller-manager", ""),
        ("scheduler", "system:kube-scheduler", ""),
        ("proxy", "system:kube-proxy", ""),
        ("kubelet", f"system:node:{NAME}", "system:nodes"),
    ):
        certificate, key = authority.issue(
            name, user, group=group, addresses=[f"DNS:{NAME}", f"IP:{NODE_IP}"]
        )
        _write_json(layout.root / f"{name}.kubeconfig", _kubeconfig(authority.certificate, certificate, key))
    _write_json(layout.root / "kubelet.json", _kubelet(layout))
    _write_json(layout.root / "proxy.json", _proxy(layout))
    (layout.root / "cni").mkdir()
    _write_json(layout.root / "cni/pods.conflist", _network())
    (layout.root / "containerd.toml").write_text(_containerd(layout))
    (layout.root / "Corefile").write_text(_corefile(layout))
    (layout.root / "resolv.conf").write_text(
        "nameserver 127.0.0.1\n"
    )  # what pods with `dnsPolicy: Default` get


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2))


def _kubeconfig(authority: Path, certificate: Path, key: Path) -> dict[str, Any]:
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "pidone", "cluster": {"server": API, "certificate-authority": str(authority)}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "pidone", "context": {"cluster": "pidone", "user": "user"}}],
        "current-context": "pidone",
    }


def _kubelet(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{layout.pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{layout.pki}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{layout.containerd}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "singleProcessOOMKill": True,  # so on cgroup v1, and on v2 only if asked for: tests then see the same
        "clusterDNS": [DNS_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{layout.root}/resolv.conf",
        "volumePluginDir": f"{layout.root}/plugins",
        "syncFrequency": "5s",  # how long a changed ConfigMap takes; a minute by default
        # A full disk of the machine is not what is tried here.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
    }


def _proxy(layout: Layout) -> dict[str, Any]:
    # Zero leaves the connection tracking of the machine alone: its limits belong to no namespace.
    tracking = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": f"{layout.root}/proxy.kubeconfig"},
        "clusterCIDR": PODS,
        "hostnameOverride": NAME,
        "conntrack": tracking,
    }


def _network() -> dict[str, Any]:
    """A pair of interfaces for each pod, and the node routes: every packet passes the proxy's rules."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _containerd(layout: Layout) -> str:
    return f"""\
version = 2
root = "{layout.root}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = "{layout.containerd}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/{PAUSE}"
# Where the machine lets nobody lower it (no CAP_SYS_RESOURCE), a sandbox could not start at all.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{programs.plugins()}"
conf_dir = "{layout.root}/cni"
"""


def _corefile(layout: Layout) -> str:
    return f"""\
cluster.local in-addr.arpa {{
    bind {NODE_IP} {DNS_IP}
    ready 127.0.0.1:8181
    errors
    cache 5
    kubernetes {{
        kubeconfig {layout.admin}
        pods insecure
        ttl 5
    }}
}}
. {{
    bind {NODE_IP} {DNS_IP}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
