"""The example with Vector and Loki: its program, run on records of ours by Vector's compiler, and its files.

Vector itself is in no registry of packages. What it adds to an event is in its reference of `docker_logs`.
"""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import pidone
from npm import modules

FOLDER = Path(__file__).parents[1] / "examples/vector-loki"
CONTAINER = {"container_name": "web-1", "stream": "stdout", "timestamp": "2020-10-03T16:11:29.443232Z"}
RUN_VRL = """
const { check, execute, formatDiagnostic } = require(process.argv[1] + '/@bpinternal/verel');
const given = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(given.map(([program, events]) => {
  const { warnings, errors } = check(program);
  return {
    faults: [...errors, ...warnings].map(formatDiagnostic),
    events: errors.length ? [] : events.map((event) => execute(program, event).event),
  };
})));
"""
PRINTS = """
import json, sys
print("a plain line")
print(json.dumps({"level": "error", "message": "a line in JSON", "user": 7}))
print("WARN a told level", file=sys.stderr)
"""
OTHERS = ("not a record", "", "[1]", "7", '{"level":3}', '{"timestamp":"yesterday"}')
"""Lines that are no records of ours."""

OPTIONS = {
    "docker_logs": {"type", "include_labels"},
    "remap": {"type", "inputs", "file"},
    "loki": {"type", "inputs", "endpoint", "encoding", "labels"},
}
"""What we use of those that Vector 0.50's reference has. It does not start with one that it does not have."""

Events = list[dict[str, Any]]


@dataclass(frozen=True)
class Tried:
    """What the compiler says of a wrong program and of ours; records of a run; the events of all lines."""

    of_a_wrong_one: list[str]
    of_ours: list[str]
    records: Events
    events: Events
    others: Events


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """Everything in one process of Node, which takes seconds to load the compiler."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    packages = modules("vrl", "@bpinternal/verel@0.2.0")
    folder = tmp_path_factory.mktemp("vector")
    (folder / "prints.py").write_text(PRINTS)
    running = pidone("--log-format", "json", "--name", "web", "--no-autorestart", "prints.py", cwd=folder)
    assert running.wait() == 0
    lines = [*(json.dumps(record) for record in running.records), *OTHERS]
    programs = [[".app = upcase(.level)", []], [(FOLDER / "records.vrl").read_text(), events_of(lines)]]
    command = [node, "-e", RUN_VRL, str(packages)]
    done = subprocess.run(command, input=json.dumps(programs), capture_output=True, text=True, check=True)
    wrong, ours = json.loads(done.stdout)
    count = len(running.records)
    return Tried(
        wrong["faults"], ours["faults"], running.records, ours["events"][:count], ours["events"][count:]
    )


def events_of(lines: list[str]) -> Events:
    """What Vector makes of a container's lines."""
    return [{**CONTAINER, "message": line} for line in lines]


def test_the_program_compiles(tried: Tried) -> None:
    """Without a warning, by a compiler that tells a wrong one."""
    assert "fallible" in tried.of_a_wrong_one[0].lower()
    assert tried.of_ours == []


def test_records_arrive_as_they_were_written(tried: Tried) -> None:
    """Every record of a run, with its own time and fields; pidone's events as an app of that name."""
    assert tried.events == [{**CONTAINER, "app": "pidone", **record} for record in tried.records]
    said = {each["message"]: each for each in tried.events if each["app"] == "web" and "event" not in each}
    assert {message: event["level"] for message, event in said.items()} == {
        "a plain line": "info",
        "a line in JSON": "error",
        "WARN a told level": "warning",
    }
    assert said["a line in JSON"]["user"] == 7
    assert any(event["app"] == "pidone" and event["event"] == "runtime.start" for event in tried.events)


def test_other_lines_stay_messages(tried: Tried) -> None:
    """None is lost, and each has what becomes a label."""
    told = [(event["message"], event["app"], event["level"]) for event in tried.others]
    assert told == [(line, "pidone", "info") for line in OTHERS]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT.+Z", event["timestamp"]) for event in tried.others)


def test_the_files_agree(tried: Tried) -> None:
    """Mounts are files, the address is a service's, the label is on who is read, labels have values."""
    compose = yaml.safe_load((FOLDER / "compose.yml").read_text())["services"]
    vector = yaml.safe_load((FOLDER / "vector.yaml").read_text())
    mounts = dict(mount.split(":")[:2] for mount in compose["vector"]["volumes"])
    ours = {(FOLDER / source).name: target for source, target in mounts.items() if source.startswith("./")}
    assert all((FOLDER / name).is_file() for name in ours)
    assert compose["vector"]["command"] == ["--config", ours["vector.yaml"]]
    components = [each for kind in vector.values() for each in kind.values()]
    assert {each["type"]: each.keys() for each in components} == OPTIONS
    (source,), (transform,), (sink,) = (
        list(vector[kind].values()) for kind in ("sources", "transforms", "sinks")
    )
    assert transform["file"] == ours["records.vrl"]
    assert (transform["inputs"], sink["inputs"]) == (list(vector["sources"]), list(vector["transforms"]))
    (label,) = source["include_labels"]
    assert label == "=".join(*compose["web"]["labels"].items())
    name, port = re.fullmatch(r"http://(\w+):(\d+)", sink["endpoint"]).groups()  # type: ignore[union-attr]
    assert compose[name]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert (FOLDER / compose["web"]["build"] / "Dockerfile").is_file()
    labels = [field.strip("{} ") for field in sink["labels"].values()]
    told = [[event.get(label) for label in labels] for event in tried.others]
    assert told == [["pidone", "info", "web-1"] for _ in OTHERS]
