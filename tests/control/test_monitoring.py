"""The shipped Grafana dashboard and Prometheus rules speak of metrics that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import pidone.control

FOLDER = Path(__file__).parents[2] / "k8s" / "monitoring"
CONTROL = Path(pidone.control.__file__).parent / "answers"
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


@pytest.fixture
def promtool() -> Callable[..., None]:
    """Prometheus' own tool, which must not complain."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")

    def run(*words: str) -> None:
        done = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_promtool_accepts_the_rules_and_their_tests(promtool: Callable[..., None]) -> None:
    """It checks the syntax and replays the written histories."""
    promtool("check", "rules", "rules.yaml")
    promtool("test", "rules", "rules.test.yaml")


def test_promtool_accepts_every_expression_of_the_dashboard(
    promtool: Callable[..., None], tmp_path: Path
) -> None:
    """As rules that record them; Grafana's variables stand in matchers only, where any text may stand."""
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(found)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", str(file))
