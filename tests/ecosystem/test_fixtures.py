"""Every ecosystem file of this repository resolves, and check shows it in the keys of the configuration."""

import json
from pathlib import Path

import pytest
from ecosystem.fixtures import ALL, Fixture

from pidone.ecosystem.load import load
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.output.resolved import as_plain, as_text
from pidone.ecosystem.spec import AppSpec
from pidone.errors import ConfigError


@pytest.mark.parametrize("fixture", ALL, ids=str)
def test_it_resolves(fixture: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that has none of the programs; a file without apps says so."""
    file = fixture.copied(tmp_path)
    monkeypatch.chdir(file.parent)
    options = LoadOptions(environ=fixture.environ, cwd=file.parent, cpus=4, must_exist=False)
    try:
        ecosystem = load(Path(file.name), options)
    except ConfigError as error:
        assert str(error).endswith("there is no app to run")  # noqa: PT017
        return
    for app in ecosystem.apps:
        told = as_plain(app, app.count(4))
        assert json.loads(json.dumps(told)) == told
        assert set(told) == set(AppSpec.field_names()) - {"templates"}  # `env` shows them, masked
        assert isinstance(told["instances"], int)
        assert isinstance(told["kill_timeout"], float)
        assert isinstance(told["args"], list)
        assert as_text(app, app.count(4))[0].startswith(f"{app.name}  [")
