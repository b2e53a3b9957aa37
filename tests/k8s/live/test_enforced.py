"""NetworkPolicies where something enforces them: who may is served, who may not is not, and names are found.

In the cluster that is made here each new connection is put to the `policies` program (NFQUEUE) while one of
these tests runs; others run without. Of a cluster that is given nobody knows whether it enforces any.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import eventually
from k8s.cluster.configuration import DNS_IP, NAME, NODE_IP, PODS
from k8s.live.client import NAMESPACE
from k8s.live.space import READY_S, Space, until

pytestmark = pytest.mark.skipif(os.environ.get("CLUSTER") != "ours", reason="nobody knows what enforces them")
QUEUE = 100
"""Where kube-network-policies reads by default."""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()"
LOOK_UP = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"
ASK = """
import socket, sys
question = b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\2no\\4name\\0\\0\\1\\0\\1"
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(5)
client.sendto(question, (sys.argv[1], 53))
print(len(client.recv(1000)))
"""
LISTEN = ["python3", "-m", "http.server", "8080"]
RULES = [
    ["FORWARD", "--match", "conntrack", "--ctstate", "NEW"],
    # A pod may always speak to its own node; here the cache of names counts as elsewhere.
    *(["INPUT", "--source", PODS, "--protocol", each, "--dport", "53"] for each in ("udp", "tcp")),
]


def python(space: Space, pod: str, program: str, *arguments: str) -> bool:
    """Whether a program in a pod ends in order."""
    command = ["kubectl", "--namespace", space.name, "exec", pod, "--", "python3", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, timeout=READY_S, check=False).returncode == 0


@pytest.fixture(scope="module")
def monitoring() -> Iterator[Space]:
    """The namespace that may scrape, with a pod in it."""
    space = Space("monitoring")
    Space("default").apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.name}})
    try:
        space.wait_until_pods_are_taken()
        container = {
            "name": "scraper",
            "image": os.environ["BACKEND_IMAGE"],
            "command": LISTEN,
        }
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "scraper"}, "spec": spec})
        space.kubectl("wait", "pod/scraper", "--for=condition=Ready", f"--timeout={READY_S}s")
        yield space
    finally:
        space.delete()


@pytest.fixture
def enforced(installed: Space, monitoring: Space, tmp_path: Path) -> Iterator[Space]:
    """The sample, in a network that asks whether a connection may be."""
    database = address(installed, "postgres")
    until(
        lambda: python(monitoring, "scraper", CONNECT, database, "5432"), "the database, before it is asked"
    )
    # It asks for the packets by nftables, too; rules of our own do where a kernel has no `queue` for these.
    with (tmp_path / "policies.log").open("wb") as log:
        program = subprocess.Popen(
            ["policies", f"-kubeconfig={os.environ['KUBECONFIG']}", f"-node={NAME}"], stderr=log
        )
    try:
        eventually(is_served, "somebody to judge packets", READY_S)
        change("--append")
        try:
            yield installed
        finally:
            change("--delete")
        assert program.poll() is None, (tmp_path / "policies.log").read_text()[-3000:]
    finally:
        program.terminate()
        program.wait(READY_S)


def is_served() -> bool:
    """Whether a program reads from the queue: without one the kernel drops what is put there."""
    queues = Path("/proc/net/netfilter/nfnetlink_queue").read_text().splitlines()
    return any(line.split()[0] == str(QUEUE) for line in queues)


def change(how: str) -> None:
    """Have the rules, or not."""
    for rule in RULES:
        target = ["--jump", "NFQUEUE", "--queue-num", str(QUEUE)]
        subprocess.run(["iptables", "--wait", "--table", "mangle", how, *rule, *target], check=True)


def address(space: Space, name: str) -> str:
    """Of the first pod of an app."""
    return str(space.pods(name)[0]["status"]["podIP"])


def test_who_may_is_served_and_who_may_not_is_not(enforced: Space, monitoring: Space) -> None:
    """Anybody at the port of the service, the monitoring alone at the other; nobody at the database."""
    client = Space(NAMESPACE)
    service, pod, database = (
        f"backend.{enforced.name}",
        address(enforced, "backend"),
        address(enforced, "postgres"),
    )
    until(lambda: python(client, "client", CONNECT, service, "80"), "the service to be reached")
    until(lambda: python(monitoring, "scraper", CONNECT, pod, "9615"), "the scraper to be let in")
    assert not python(client, "client", CONNECT, pod, "9615")
    assert not python(client, "client", CONNECT, database, "5432")
    assert not python(monitoring, "scraper", CONNECT, database, "5432")


def test_the_sample_reaches_what_it_needs_and_nothing_else(enforced: Space, monitoring: Space) -> None:
    """Its database, its bus and names; neither a pod that nothing closes, nor another server of names."""
    (pod, *_) = enforced.names()
    until(lambda: python(enforced, pod, LOOK_UP, "postgres"), "a name to be found")
    until(lambda: python(enforced, pod, CONNECT, "postgres", "5432"), "its database")
    until(lambda: python(enforced, pod, CONNECT, "redis", "6379"), "its bus")
    until(lambda: python(enforced, pod, ASK, DNS_IP), "the cache of names on the node")
    until(lambda: python(monitoring, "scraper", ASK, NODE_IP), "an answer to whom no policy binds")
    assert not python(enforced, pod, ASK, NODE_IP)
    scraper = str(monitoring.get("pod/scraper")["status"]["podIP"])
    client = Space(NAMESPACE)
    until(lambda: python(client, "client", CONNECT, scraper, "8080"), "a pod that nothing closes")
    assert not python(enforced, pod, CONNECT, scraper, "8080")


def test_it_goes_on_serving(enforced: Space) -> None:
    """A new pod too, which has to look up and reach everything anew."""
    enforced.kubectl("rollout", "restart", "deployment/backend")
    enforced.wait_until_rolled_out("deployment/backend")
    client = Space(NAMESPACE)
    until(lambda: python(client, "client", CONNECT, f"backend.{enforced.name}", "80"), "the service")
