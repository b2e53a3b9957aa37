"""The Pod Security Standard "restricted", as https://kubernetes.io/docs/concepts/security/pod-security-standards/."""

from collections.abc import Iterator

from k8s.offline.tools import Object

VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)
SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)
SECCOMP = ("RuntimeDefault", "Localhost")
SELINUX = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def violations(pod: Object) -> list[str]:
    """What the standard forbids in a pod's spec, a line each."""
    return [*_of_pod(pod), *(line for each in _containers(pod) for line in _of_container(each, pod))]


def _containers(pod: Object) -> list[Object]:
    return [
        container
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for container in pod.get(kind, ())
    ]


def _of_pod(pod: Object) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"{key} is set"
    for volume in pod.get("volumes", ()):
        if not VOLUMES & volume.keys():
            yield f"volume {volume['name']} is of a kind that reaches the node"
    for sysctl in pod.get("securityContext", {}).get("sysctls", ()):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']} is not a safe one"


def _of_container(container: Object, pod: Object) -> Iterator[str]:
    name, own = container["name"], container.get("securityContext", {})
    effective = {**pod.get("securityContext", {}), **own}
    capabilities = own.get("capabilities", {})
    rules = {
        "privileged": bool(own.get("privileged")),
        "allowPrivilegeEscalation is not false": own.get("allowPrivilegeEscalation") is not False,
        "keeps capabilities": "ALL" not in capabilities.get("drop", ()),
        "adds capabilities": bool(set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}),
        "may run as root": effective.get("runAsNonRoot") is not True,
        "runs as root": effective.get("runAsUser") == 0,
        "has no seccomp profile": effective.get("seccompProfile", {}).get("type") not in SECCOMP,
        "has an unmasked /proc": own.get("procMount", "Default") != "Default",
        "has no AppArmor": effective.get("appArmorProfile", {}).get("type") == "Unconfined",
        "has an SELinux type of its own": effective.get("seLinuxOptions", {}).get("type", "") not in SELINUX,
        "is a Windows host process": bool(effective.get("windowsOptions", {}).get("hostProcess")),
        "takes a port of the node": any(port.get("hostPort") for port in container.get("ports", ())),
        "probes another host": any(_hosts(container)),
    }
    yield from (f"container {name} {said}" for said, is_so in rules.items() if is_so)


def _hosts(container: Object) -> Iterator[object]:
    probes = [container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")]
    hooks = container.get("lifecycle", {}).values()
    for check in (*probes, *hooks):
        for way in ("httpGet", "tcpSocket"):
            yield check.get(way, {}).get("host")
