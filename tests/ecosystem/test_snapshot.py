"""What `save` writes means what was started, with what has become of it since."""

from pathlib import Path
from typing import Any

import pytest
from ecosystem.documents import options

from pidone.ecosystem.document import Document
from pidone.ecosystem.formats import read
from pidone.ecosystem.load import document_of, resolve
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.output.snapshot import SavedState, snapshot
from pidone.ecosystem.output.text import toml_text
from pidone.ecosystem.spec import AppSpec, Ecosystem

ONLINE = SavedState(scale=1, is_wanted=True, has_run=True)


def saved(folder: Path, document: Document, how: LoadOptions, **states: SavedState) -> Ecosystem:
    """What the saved file means when it is started without any options; other apps run unchanged."""
    running = {
        app.key(): states.get(app.name, ONLINE.but(scale=app.count(how.cpus), is_wanted=app.autostart))
        for app in resolve(document, how).apps
        if app.name not in states or states[app.name].scale
    }
    file = folder / "saved.toml"
    file.write_text(toml_text(snapshot(document, how, running), "Saved"))
    return resolve(read(file, env={}, argv=(), cpus=how.cpus), options(cpus=how.cpus))


def meaning(app: AppSpec) -> AppSpec:
    """All of it that has an effect; the name that the runtime is called by is not a file's."""
    return app.but(script="", interpreter_args=(), dates_output=False)


def javascript(*apps: dict[str, Any], **top: object) -> Document:
    """As PM2's file says it."""
    return Document(apps=apps, top=top, source=Path("/srv/e.config.js"), language="javascript")


def toml(*apps: dict[str, Any], **top: object) -> Document:
    """In our own dialect."""
    return Document(apps=apps, top=top, source=Path("/srv/e.toml"), language="toml")


WEB = {"name": "web", "script": "web.js"}


@pytest.mark.parametrize(
    ("document", "how"),
    [
        (document_of(("sleep", "10", "${NOT_OURS}")), {"overrides": {"name": "z", "instances": "2"}}),
        (toml({**WEB, "env": {"A": "${HOST:-x}"}, "cwd": "sub"}), {}),
        (toml(WEB, runtime={"log_format": "text"}), {"runtime": {"admin": "9000", "auto_exit": False}}),
        (toml({**WEB, "args": "a 'b c'"}), {"args": ("--port", "${PORT}")}),
        (toml({**WEB, "instances": "max"}, {"name": "a", "script": "b", "depends_on": ["web"]}), {}),
        (javascript({**WEB, "env": {"A": "${X}", "B": 1}, "env_x": {"B": 2}}), {"env_name": "x"}),
        (
            javascript({**WEB, "append_env_to_name": True}, deploy={"x": {"env": {"D": 5}}}),
            {"env_name": "x"},
        ),
        (javascript(WEB), {"personality": "pm2-runtime", "defaults": {"watch": True}}),
        (javascript({**WEB, "killTimeout": 500}), {"personality": "pm2-runtime"}),
        (javascript({**WEB, "i": 3}), {"overrides": {"instances": "2"}}),
        (javascript(WEB, static={"path": ".", "port": 8080}), {}),
        (javascript({**WEB, "name_prefix": "shop", "namespace": "n"}), {}),
    ],
)
def test_unchanged_it_means_the_same(tmp_path: Path, document: Document, how: dict[str, Any]) -> None:
    """References, options of the command line, the peer's defaults and folders included."""
    asked = options(cwd=Path("/srv"), cpus=2, **how)
    before, after = resolve(document, asked), saved(tmp_path, document, asked)
    assert [*map(meaning, after.apps)] == [*map(meaning, before.apps)]
    assert after.runtime == before.runtime


@pytest.mark.parametrize("written", [{"instances": 4}, {"instances": "max"}, {"exec_mode": "cluster"}, {}])
@pytest.mark.parametrize("scale", [1, 2, 7])
def test_another_scale_changes_nothing_else(tmp_path: Path, written: dict[str, Any], scale: int) -> None:
    """In particular not the mode, which the mere presence of a number decides for Node."""
    document = javascript({**WEB, **written, "out_file": "log"})
    asked = options(cwd=Path("/srv"), cpus=2)
    [before] = resolve(document, asked).apps
    [after] = saved(tmp_path, document, asked, web=ONLINE.but(scale=scale)).apps
    assert after.count(2) == scale
    assert meaning(after.but(instances=before.instances)) == meaning(before)


@pytest.mark.parametrize(
    ("autostart", "state", "expected"),
    [
        (True, ONLINE, True),
        (True, ONLINE.but(is_wanted=False), False),
        (True, SavedState(scale=1, is_wanted=False, has_run=False), True),
        (False, ONLINE, True),
        (False, SavedState(scale=1, is_wanted=False, has_run=False), False),
    ],
    ids=["runs", "was stopped", "waits for another", "was started", "was never started"],
)
def test_what_rests_rests_again(tmp_path: Path, autostart: bool, state: SavedState, expected: bool) -> None:  # noqa: FBT001
    """Somebody's last word about an app counts."""
    document = toml({**WEB, "autostart": autostart})
    [after] = saved(tmp_path, document, options(cwd=Path("/srv")), web=state).apps
    assert after.autostart == expected


def test_what_is_gone_is_left_out(tmp_path: Path) -> None:
    """Deleted apps and those that --only left out, and dependencies on them."""
    document = toml(
        {"name": "db", "script": "db"},
        {**WEB, "depends_on": {"db": "started", "bus": "ready"}},
        {"name": "bus", "script": "b"},
    )
    gone = SavedState(scale=0, is_wanted=False, has_run=True)
    after = saved(tmp_path, document, options(cwd=Path("/srv")), bus=gone)
    assert [app.name for app in after.apps] == ["db", "web"]
    assert [each.app for each in after.apps[1].depends_on] == ["db"]
    after = saved(tmp_path, document, options(cwd=Path("/srv"), only=("web",)))
    assert [(app.name, app.depends_on) for app in after.apps] == [("web", ())]


def test_no_value_from_elsewhere_is_written(tmp_path: Path) -> None:
    """References stay references; variables of the surroundings and of files are not looked at."""
    (tmp_path / "app.env").write_text("FROM_FILE=canary")
    app = {
        **WEB,
        "cwd": str(tmp_path),
        "env_file": "app.env",
        "env": {"A": "${SECRET}"},
        "args": ["${SECRET}"],
    }
    asked = options(environ={"SECRET": "canary"}, cwd=Path("/srv"))
    saved(tmp_path, toml(app), asked)
    assert "canary" not in (tmp_path / "saved.toml").read_text()
