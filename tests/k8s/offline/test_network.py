"""The network policies, evaluated: what has to work is open, everything else is closed."""

import pytest
from k8s.offline.flows import Peer, may_call
from k8s.offline.tools import Object, build
from k8s.offline.workloads import workloads

HTTP, ADMIN, POSTGRES, REDIS, DNS = 8000, 9615, 5432, 6379, 53

STRANGER = Peer("somewhere", {"app.kubernetes.io/name": "backend", "app.kubernetes.io/component": "api"})
"""Called like ours, in another namespace."""
PROMETHEUS = Peer("monitoring", {"app": "prometheus"})
NAMES = Peer("kube-system", {"k8s-app": "kube-dns"})
OPENSHIFT = Peer("openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"})
OPENSHIFT_DNS = 5353
ON_THE_NODE = Peer(address="169.254.20.10")
"""NodeLocal DNSCache, https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/"""
METADATA = Peer(address="169.254.169.254")
"""What clouds give credentials at."""
OUTSIDE = Peer()


def policies(overlay: str) -> list[Object]:
    """The policies of an overlay."""
    return [each for each in build(f"overlays/{overlay}") if each["kind"] == "NetworkPolicy"]


def pods(overlay: str) -> dict[str, Peer]:
    """The pods of an overlay, by the name that they have as a label."""
    made = map(Peer.of, workloads(build(f"overlays/{overlay}")))
    return {pod.labels["app.kubernetes.io/name"]: pod for pod in made}


@pytest.fixture(scope="module")
def local() -> dict[str, Peer]:
    """The pods of the overlay with everything in it, by what makes them, and some who are not in it."""
    made = pods("local")
    others = {"stranger": STRANGER, "prometheus": PROMETHEUS, "names": NAMES, "outside": OUTSIDE}
    return {**made, **others}


@pytest.mark.parametrize(
    ("caller", "callee", "port"),
    [
        ("stranger", "backend", HTTP),
        ("outside", "backend", HTTP),
        ("prometheus", "backend", ADMIN),
        ("prometheus", "background", ADMIN),
        *((name, "postgres", POSTGRES) for name in ("backend", "background", "migrate")),
        *((name, "redis", REDIS) for name in ("backend", "background")),
    ],
)
def test_what_has_to_work_is_open(local: dict[str, Peer], caller: str, callee: str, port: int) -> None:
    """Requests, scrapes, database and bus."""
    assert may_call(policies("local"), local[caller], local[callee], port)


@pytest.mark.parametrize("name", ["backend", "background", "migrate"])
@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_names_are_found(local: dict[str, Peer], name: str, protocol: str) -> None:
    """By the cluster's own DNS, wherever that is, and by nobody else's."""
    assert may_call(policies("local"), local[name], NAMES, DNS, protocol)
    assert may_call(policies("local"), local[name], ON_THE_NODE, DNS, protocol)
    assert may_call(policies("local"), local[name], OPENSHIFT, OPENSHIFT_DNS, protocol)
    assert not may_call(policies("local"), local[name], OUTSIDE, DNS, protocol)
    assert not may_call(policies("local"), local[name], METADATA, DNS, protocol)


@pytest.mark.parametrize(
    ("caller", "callee", "port"),
    [
        *((name, "backend", ADMIN) for name in ("stranger", "outside", "backend", "postgres")),
        ("prometheus", "backend", POSTGRES),
        ("prometheus", "postgres", POSTGRES),
        *((name, "postgres", POSTGRES) for name in ("stranger", "outside", "redis")),
        *((name, "redis", REDIS) for name in ("stranger", "outside", "postgres")),
        *((name, "outside", port) for name in ("postgres", "redis") for port in (HTTP, DNS, POSTGRES)),
        ("backend", "outside", 443),
        ("backend", "background", ADMIN),
        ("backend", "stranger", HTTP),
    ],
)
def test_everything_else_is_closed(local: dict[str, Peer], caller: str, callee: str, port: int) -> None:
    """The admin port to all but Prometheus, the database to strangers, the world to the database."""
    assert not may_call(policies("local"), local[caller], local[callee], port)


def test_production_reaches_an_external_database_and_bus() -> None:
    """Wherever they are; and nothing else outside."""
    made = pods("production")
    for name in ("backend", "background", "migrate"):
        assert all(may_call(policies("production"), made[name], OUTSIDE, port) for port in (POSTGRES, REDIS))
        assert not may_call(policies("production"), made[name], OUTSIDE, 443)


def test_a_plain_node_server_answers_and_calls_nobody() -> None:
    """The overlay `node` has no policy that opens a way out."""
    (backend,) = (Peer.of(each) for each in workloads(build("overlays/node")))
    assert may_call(policies("node"), OUTSIDE, backend, 3000)
    assert not may_call(policies("node"), backend, OUTSIDE, POSTGRES)
    assert not may_call(policies("node"), backend, NAMES, DNS, "UDP")
