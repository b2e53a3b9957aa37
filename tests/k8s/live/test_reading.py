"""What one reads of a pod: its logs and its programs."""

from k8s.live.space import Space


def test_every_line_of_the_logs_is_a_record(backend: Space) -> None:
    """`kubectl logs` of all pods parses line by line, and an app's lines say which pod they are of."""
    for pod in backend.names() + backend.names("background"):
        records = backend.records(pod)
        assert records[0]["event"] == "runtime.start"
        assert all({"timestamp", "level", "message"} <= record.keys() for record in records)
        of_apps = [record for record in records if "stream" in record]
        assert of_apps
        node = backend.get(f"pod/{pod}")["spec"]["nodeName"]
        where = {"pod": pod, "namespace": backend.name, "node": node}
        assert all(where.items() <= record.items() for record in of_apps)


def test_exec_shows_what_runs(backend: Space) -> None:
    """`kubectl exec POD -- pidone ls` works without further words, and shows as many processes as CPUs."""
    (pod, *_) = backend.names()
    cpus = int(backend.get(f"pod/{pod}")["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert [one["state"] for one in backend.instances(pod, "api")] == ["online"] * cpus
    assert "api:0" in backend.exec(pod, "pidone", "ls")


def test_it_is_as_confined_as_it_can_be(backend: Space) -> None:
    """No root, no capabilities, no new privileges, system calls filtered, a root that cannot be written."""
    (pod, *_) = backend.names()
    status = dict(
        line.split(":\t", 1)
        for line in backend.exec(pod, "cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert {status[key] for key in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    options = [
        line.split()[3]
        for line in backend.exec(pod, "cat", "/proc/mounts").splitlines()
        if line.split()[1] == "/"
    ]
    assert options[0].startswith("ro")
