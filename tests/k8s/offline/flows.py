"""Who may call whom, by the rules of https://kubernetes.io/docs/concepts/services-networking/network-policies/.

A pod that no policy selects for a direction is open there; one that is selected may do what any of those
policies allows. A connection needs both ends to agree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from k8s.offline.tools import Object
from k8s.offline.workloads import Workload, selects


@dataclass(frozen=True)
class Peer:
    """One end: a pod, or something outside of the cluster, which has no namespace."""

    namespace: str = ""
    labels: Object = field(default_factory=dict)
    ports: tuple[Object, ...] = ()
    """Those of its containers."""
    address: str = ""
    """Of what is no pod, where it matters."""

    @classmethod
    def of(cls, workload: Workload) -> "Peer":
        """A pod of a workload."""
        ports = tuple(port for each in workload.containers for port in each.get("ports", ()))
        labels = workload.template["metadata"]["labels"]
        return cls(workload.thing["metadata"]["namespace"], labels, ports)


def may_call(
    policies: Sequence[Object], caller: Peer, callee: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Whether a connection can come to be."""
    ways = (("Egress", "to", caller, callee), ("Ingress", "from", callee, caller))
    return all(
        _allows(policies, kind, key, own, other, callee, port, protocol) for kind, key, own, other in ways
    )


def _allows(
    policies: Sequence[Object],
    kind: str,
    key: str,
    own: Peer,
    other: Peer,
    callee: Peer,
    port: int,
    protocol: str,
) -> bool:
    binding = [each for each in policies if _binds(each, kind, own)]
    rules = [(each, rule) for each in binding for rule in each["spec"].get(kind.lower(), ())]
    return not binding or any(
        _is_among(rule.get(key), each["metadata"]["namespace"], other)
        and (port, protocol) in _ports(rule.get("ports"), callee, port, protocol)
        for each, rule in rules
    )


def _binds(policy: Object, kind: str, pod: Peer) -> bool:
    spec = policy["spec"]
    return (
        policy["metadata"]["namespace"] == pod.namespace
        and kind in spec["policyTypes"]
        and selects(spec["podSelector"], pod.labels)
    )


def _is_among(peers: Sequence[Object] | None, own_namespace: str, other: Peer) -> bool:
    if not peers:
        return True
    return any(_is(peer, own_namespace, other) for peer in peers)


def _is(peer: Object, own_namespace: str, other: Peer) -> bool:
    if "ipBlock" in peer:
        network = ip_network(peer["ipBlock"]["cidr"])
        assert peer["ipBlock"].keys() == {"cidr"}, "no policy of ours has exceptions"
        return bool(other.address) and ip_address(other.address) in network
    if not other.namespace:
        return False
    named = {"kubernetes.io/metadata.name": other.namespace}
    if "namespaceSelector" in peer:
        at_home = selects(peer["namespaceSelector"], named)
    else:
        at_home = other.namespace == own_namespace
    return at_home and selects(peer.get("podSelector", {}), other.labels)


def _ports(
    rules: Sequence[Object] | None, callee: Peer, port: int, protocol: str
) -> Iterator[tuple[int, str]]:
    if not rules:
        yield port, protocol
    for rule in rules or ():
        said = rule["port"]
        numbers = [each["containerPort"] for each in callee.ports if each["name"] == said]
        yield from (
            (number, rule.get("protocol", "TCP")) for number in ([said] if isinstance(said, int) else numbers)
        )
