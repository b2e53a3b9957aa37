"""The `monitoring` profile: Prometheus scrapes the stack's runtimes, and what is shipped for it works there.

Grafana is in no Debian package, so of it only the configuration is checked.
"""

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.images import REPOSITORY, build_stand_in
from docker.stack import Stack
from harness import eventually

from docker import stack as stacks

MONITORING = REPOSITORY / "k8s/monitoring"
SCRAPED_S = 60.0


@pytest.fixture(scope="module")
def stack(stack_env: dict[str, str]) -> Iterator[Stack]:
    """The stack with Prometheus."""
    env = {
        **stack_env,
        "PROMETHEUS_IMAGE": build_stand_in("prometheus", "pidone-test/prometheus"),
        "PROMETHEUS_PORT": "127.0.0.1:0",
    }
    with stacks.up("monitored", env, forget=True, services=("backend", "node-api", "prometheus")) as stack:
        yield stack


def ask(stack: Stack, path: str, **parameters: str) -> Any:
    """What Prometheus answers."""
    port = stack.port("prometheus", 9090)
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)["data"]


def values(stack: Stack, query: str) -> dict[str, float]:
    """The value of each series by the pod (here: the service) that it is of."""
    result = ask(stack, "query", query=query)["result"]
    return {series["metric"].get("pod", ""): float(series["value"][1]) for series in result}


def test_prometheus_sees_both_runtimes(stack: Stack) -> None:
    """Every runtime of the stack is scraped, by the name of its service, and says that it is ready."""
    expected = {"backend": 1.0, "node-api": 1.0}
    eventually(lambda: values(stack, "pidone_ready") == expected, "both to be scraped", SCRAPED_S)


def test_the_rules_are_loaded_and_evaluated(stack: Stack) -> None:
    """Every shipped alert is there, none is broken, and none fires in a healthy stack."""

    def evaluated() -> list[dict[str, Any]]:
        groups = ask(stack, "rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else []

    rules = eventually(evaluated, "the rules to be evaluated", SCRAPED_S)
    shipped = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    assert [rule["name"] for rule in rules] == [rule["alert"] for group in shipped for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


def test_the_dashboards_panels_have_something_to_show(stack: Stack) -> None:
    """Every query of the shipped dashboard works, and those of levels (not of changes) have a value."""
    eventually(lambda: len(values(stack, "pidone_ready")) == 2, "a scrape of both", SCRAPED_S)
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 15
    empty = []
    for query in queries:
        resolved = re.sub(r"\$(job|pod|app)\b", ".*", query)
        if not ask(stack, "query", query=resolved)["result"] and not re.search(r"\[\d+[mh]\]", query):
            empty.append(query)
    assert [query for query in empty if "tree_pss" not in query] == []  # measured only after the first scrape


def test_everything_that_the_profile_mounts_exists(stack: Stack) -> None:
    """Both services are there if the profile is asked for, and only then; their files are in the checkout."""
    assert "grafana" not in stack.compose("config", "--services").split()
    services = json.loads(stack.compose("--profile", "monitoring", "config", "--format", "json"))["services"]
    assert {"prometheus", "grafana"} <= set(services)
    for name in ("prometheus", "grafana"):
        mounted = [volume for volume in services[name]["volumes"] if volume["type"] == "bind"]
        assert mounted
        for volume in mounted:
            assert Path(volume["source"]).exists(), volume
            assert volume["read_only"], volume


def test_grafana_is_given_the_dashboard(stack: Stack) -> None:
    """Its provider looks where the dashboard is mounted, and its data source is the stack's Prometheus."""
    services = json.loads(stack.compose("--profile", "monitoring", "config", "--format", "json"))["services"]
    grafana = services["grafana"]
    mounts = {volume["target"]: Path(volume["source"]) for volume in grafana["volumes"] if "source" in volume}
    provisioning = {
        target.rpartition("/")[2]: yaml.safe_load(next(folder.glob("*.yaml")).read_text())
        for target, folder in mounts.items()
        if target.startswith("/etc/grafana/provisioning/")
    }
    (provider,) = provisioning["dashboards"]["providers"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(provider["options"]["path"] + "/")
    assert mounts[home] == MONITORING / "grafana-dashboard.json"
    (source,) = provisioning["datasources"]["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["type"] == "prometheus"
