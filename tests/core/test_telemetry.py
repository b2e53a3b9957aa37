"""Each instance can say who it is: `${instance}` in `env`, and the variables of OpenTelemetry's real SDKs."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from harness import Running, pidone
from npm import modules

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec
from pidone.supervise.process.environment import Environment, environment_of
from pidone.supervise.process.telemetry import ATTRIBUTES, NAME, identity

PRINTS = """
import os, sys
print(*(f"{name}={os.environ.get(name)}" for name in sys.argv[1:]), sep="|")
"""
PYTHON_SDK = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
exporter = ConsoleSpanExporter(formatter=lambda span: span.to_json(None) + "\\n")
provider.add_span_processor(SimpleSpanProcessor(exporter))
with provider.get_tracer("test").start_as_current_span("work"):
    pass
"""
NODE_SDK = """
const { NodeSDK } = require('@opentelemetry/sdk-node');
const { trace } = require('@opentelemetry/api');
const sdk = new NodeSDK();
sdk.start();
trace.getTracer('test').startSpan('work').end();
sdk.shutdown();
"""


def run(folder: Path, app: str, **env: str) -> Running:
    """Two instances of a job."""
    (folder / "ecosystem.toml").write_text(
        f'[[apps]]\nname = "api"\ninstances = 2\nautorestart = false\ninterpreter = "none"\n{app}'
    )
    return pidone("ecosystem.toml", "--log-format", "json", cwd=folder, env=env)


def said(running: Running) -> list[str]:
    """What the two instances have written, in the order of their indexes."""
    assert running.wait() == 0
    lines = {record["instance"]: record["message"] for record in running.records if "stream" in record}
    return [lines[0], lines[1]]


def test_a_variable_may_name_the_instance(tmp_path: Path) -> None:
    """And the app; an escaped one, and what the environment holds, mean what they always meant."""
    names = ["WHO", "PLAIN", "OTHER"]
    (tmp_path / "prints.py").write_text(PRINTS)
    app = f"""
        script = {sys.executable!r}
        args = ["prints.py", "{'", "'.join(names)}"]
        env = {{ WHO = "${{app}}/${{instance}}", PLAIN = "$${{instance}}", OTHER = "${{OUTER}}" }}
    """
    with run(tmp_path, app, OUTER="${instance}") as running:
        assert said(running) == [
            "WHO=api/0|PLAIN=${instance}|OTHER=${instance}",
            "WHO=api/1|PLAIN=${instance}|OTHER=${instance}",
        ]


def test_a_set_of_variables_may_name_it_as_well(tmp_path: Path) -> None:
    """Escapes beside it stay escapes, and its text is nobody's but the instance's."""
    (tmp_path / "prints.py").write_text(PRINTS)
    (tmp_path / "ecosystem.yaml").write_text(
        f"apps:\n- name: api\n  script: {sys.executable}\n  interpreter: none\n  autorestart: false\n"
        "  args: [prints.py, A]\n  env: {A: plain}\n  env_x: {A: '$${instance} ${instance:-none} ${app}'}\n"
    )
    command = ("ecosystem.yaml", "--env", "x", "--log-format", "json")
    with pidone(*command, cwd=tmp_path) as running:
        assert running.wait() == 0
        assert [each["message"] for each in running.find(stream="stdout")] == ["A=${instance} 0 api"]


def test_what_is_inherited_stays(tmp_path: Path) -> None:
    """The trace that started the container goes on in its apps; nothing is said about them without `otel`."""
    (tmp_path / "prints.py").write_text(PRINTS)
    app = f"script = {sys.executable!r}\nargs = ['prints.py', 'TRACEPARENT', 'OTEL_SERVICE_NAME']"
    with run(tmp_path, app, TRACEPARENT="00-1-2-01") as running:
        assert said(running) == ["TRACEPARENT=00-1-2-01|OTEL_SERVICE_NAME=None"] * 2


def who(namespace: str = "default") -> InstanceId:
    """The second instance of an app with a name that has to be escaped."""
    return InstanceId("a,b=c", 1, 7, namespace)


ID = "box:a%2Cb%3Dc:1"


@pytest.mark.parametrize(
    ("given", "laid"),
    [
        ({}, {NAME: "a,b=c", ATTRIBUTES: f"service.instance.id={ID}"}),
        ({NAME: "shop", ATTRIBUTES: "x=1,"}, {ATTRIBUTES: f"x=1,service.instance.id={ID}"}),
        ({ATTRIBUTES: " service.name = shop , service.instance.id=mine"}, {}),
        ({NAME: "", ATTRIBUTES: "service.instance.id=1"}, {NAME: "a,b=c"}),
    ],
)
def test_what_somebody_has_said_counts(given: dict[str, str], laid: dict[str, str]) -> None:
    """Only what is missing is added, escaped as the specification has it."""
    assert identity(given, who(), "box") == laid


def test_a_namespace_is_part_of_the_instance() -> None:
    """Else two apps of one name would be one."""
    assert "box:other/a%2Cb%3Dc:1" in identity({}, who("other"), "box")[ATTRIBUTES]


def test_commands_beside_an_app_are_no_instance() -> None:
    """They have its variables, but none that differs among instances."""
    from pidone.ecosystem.spec import Template

    app = AppSpec(
        name="api",
        argv=("/bin/true",),
        env={"A": "1", "B": "${instance}"},
        templates={"B": Template(("", "instance", ""))},
    )
    assert environment_of(app, {}) == {"A": "1"}
    assert Environment({}).of(app, InstanceId("api", 3, 1))["B"] == "3"


def attributes(running: Running) -> list[dict[str, str]]:
    """The resource of the span that each instance has exported to its console, by index."""
    assert running.wait() == 0
    found: list[dict[str, str]] = [{}, {}]
    for record in running.find(stream="stdout"):
        if "resource" in record:  # Python's exporter writes JSON, which has become part of the record
            found[record["instance"]] |= record["resource"]["attributes"]
        words = record.get("message", "")  # of Node's, which writes an object on many lines
        found[record["instance"]] |= dict(re.findall(r"'([\w.]+)': '([^']*)'", words))
    return found


def check(found: list[dict[str, str]]) -> None:
    """One service, two instances, and what the user has said beside it."""
    assert [each["service.name"] for each in found] == ["api", "api"]
    ids = [each["service.instance.id"] for each in found]
    assert [each.rpartition(":")[2] for each in ids] == ["0", "1"]
    assert [each["deployment.environment.name"] for each in found] == ["shop", "shop"]


SHOP = {ATTRIBUTES: "deployment.environment.name=shop"}


@pytest.mark.skipif(importlib.util.find_spec("opentelemetry") is None, reason="no opentelemetry-sdk")
def test_python_s_sdk_knows_who_it_is(tmp_path: Path) -> None:
    """By what its own console exporter writes."""
    (tmp_path / "spans.py").write_text(PYTHON_SDK)
    app = f"script = {sys.executable!r}\nargs = ['spans.py']\notel = true"
    with run(tmp_path, app, **SHOP) as running:
        check(attributes(running))


def test_node_s_sdk_knows_who_it_is(tmp_path: Path) -> None:
    """By what its own console exporter writes."""
    packages = modules("opentelemetry", "@opentelemetry/sdk-node", "@opentelemetry/api")
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "spans.js").write_text(NODE_SDK)
    app = "script = 'node'\nargs = ['spans.js']\notel = true"
    with run(tmp_path, app, **SHOP, OTEL_TRACES_EXPORTER="console") as running:
        check(attributes(running))
