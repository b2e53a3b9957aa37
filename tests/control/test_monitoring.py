"""The shipped Grafana dashboard and Prometheus rules speak of metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import runtime.control

FOLDER = Path(__file__).parents[2] / "k8s" / "monitoring"
CONTROL = Path(runtime.control.__file__).parent
SOURCE = "".join((CONTROL / name).read_text() for name in ("metrics.py", "container_metrics.py"))


def known() -> set[str]:
    """Names of families as the code writes them."""
    names = set(re.findall(r'"((?:pidone|process)_\w+)"', SOURCE))
    return names | {f"pidone_container_{name}" for name in re.findall(r'\("(\w+)", "', SOURCE)}


def used(expression: str) -> set[str]:
    """Names of metrics in an expression, without the suffixes of their samples."""
    found = re.findall(r"\b(?:pidone|process)_\w+", expression)
    return {re.sub(r"_(total|bucket|count|sum|info)$", "", name) for name in found}


def test_every_panel_shows_metrics_that_exist() -> None:
    """No panel of the dashboard stays empty because of a wrong name."""
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 15
    assert set().union(*map(used, expressions)) <= known()


def test_every_rule_watches_metrics_that_exist() -> None:
    """No alert keeps silent because of a wrong name."""
    [group] = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
    assert len(group["rules"]) > 5
    assert set().union(*(used(rule["expr"]) for rule in group["rules"])) <= known()


def test_promtool_accepts_the_rules_and_their_tests() -> None:
    """Prometheus' own tool checks the syntax and replays the written histories."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "rules.test.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
