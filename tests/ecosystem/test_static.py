"""PM2's static file server: `static`, and apps whose script is `serve`."""

from pathlib import Path
from typing import Any

import pytest
from ecosystem.documents import document, options, read

from pidone.ecosystem.load import resolve
from pidone.ecosystem.output.convert import OutputFile, convert
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.errors import ConfigError
from pidone.interpreter import module_argv


def static(*entries: dict[str, Any], language: str = "json", **changes: Any) -> Ecosystem:
    """The ecosystem of a file that only has `static`."""
    return read(language=language, top={"static": [*entries]}, **changes)


def serve(**keys: Any) -> AppSpec:
    """An app with the script `serve`."""
    return read({"script": "serve", "name": "site", **keys}, language="json").apps[0]


def test_an_entry_is_an_app() -> None:
    """Its keys become PM2's variables, its port a socket of the runtime."""
    entry = {"path": "dist", "port": "8081", "host": "127.0.0.1", "spa": True, "directory": False}
    (app,) = static({**entry, "basic_auth": {"username": "u", "password": "p"}}).apps
    assert (app.name, app.argv) == ("static-page-server-8081", module_argv("pidone.fileserver"))
    assert [(listen.host, listen.port) for listen in app.listen] == [("127.0.0.1", 8081)]
    assert app.ready.notify
    assert app.env == {
        "PM2_SERVE_PATH": "/dist",
        "PM2_SERVE_PORT": "8081",
        "PM2_SERVE_HOST": "127.0.0.1",
        "PM2_SERVE_SPA": "true",
        "PM2_SERVE_DIRECTORY": "false",
        "PM2_SERVE_BASIC_AUTH": "true",
        "PM2_SERVE_BASIC_AUTH_USERNAME": "u",
        "PM2_SERVE_BASIC_AUTH_PASSWORD": "p",
    }


def test_entries_stand_beside_apps_and_have_their_keys() -> None:
    """One can depend on a build, and have instances."""
    top = {"static": {"name": "site", "path": ".", "instances": 3, "depends_on": ["build"], "env": {"A": 1}}}
    ecosystem = read({"script": "/bin/true", "name": "build", "autorestart": False}, top=top)
    site = ecosystem.apps[1]
    assert (site.name, site.instances, site.depends_on[0].app) == ("site", 3, "build")
    assert (site.env["A"], site.listen[0].port, site.listen[0].host) == ("1", 8080, "")
    assert ecosystem.warnings == ()


def test_references_are_replaced_once() -> None:
    """In the languages that have them."""
    entry = {"path": "$${X}", "port": "${PORT:-8082}"}
    (app,) = static(entry, language="toml").apps
    assert (app.env["PM2_SERVE_PATH"], app.listen[0].port) == ("/${X}", 8082)


def test_what_only_pm2s_cloud_needs_is_named_and_ignored() -> None:
    """`monitor` puts a script into every page."""
    assert "ignored: monitor" in static({"path": ".", "monitor": "bucket"}).notices[0]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"port": 99999}, "static #1: port = 99999: expected a whole number from 1 to 65535"),
        ({"name": "x", "spa": "perhaps"}, 'static "x": spa = "perhaps": expected true or false'),
        ({"basic_auth": {"username": "u"}}, "basic_auth.password: is missing"),
        ({"basic_auth": "u:hunter2"}, "basic_auth = ***: expected"),
        (
            {"basic_auth": {"username": "u", "password": ["hunter2"]}},
            'basic_auth.password = "***": expected text',
        ),
        ({"basic_auth": {"username": "u:hunter2", "password": "p"}}, "without a colon"),
        ({"host": "no host"}, 'PM2_SERVE_HOST = "no host": expected an address'),
        (7, "static[0] = 7: expected a table"),
    ],
)
def test_errors_name_the_entry_key_and_value(entry: Any, message: str) -> None:
    """And no password."""
    with pytest.raises(ConfigError) as caught:
        static(entry)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_errors_of_entries_and_apps_come_at_once() -> None:
    """A port that two want is found, too."""
    with pytest.raises(ConfigError) as caught:
        read(
            {"script": "/bin/true", "name": "a", "listen": [8080], "instances": "many"},
            top={"static": [{"path": "."}, {"port": "x", "name": "b"}]},
        )
    lines = str(caught.value).split("\n")
    assert len(lines) == 3
    assert 'app "static-page-server-8080": listen = "8080": claimed by app "a" too' in lines[2]


def test_unknown_keys_of_an_entry_are_reported() -> None:
    """As of an app: a warning in PM2's formats, an error in TOML."""
    assert "static #1: sap: unknown key; did you mean" in static({"sap": True}).warnings[0]
    with pytest.raises(ConfigError, match="sap: unknown key"):
        static({"sap": True}, language="toml")


def test_a_script_called_serve_is_told_by_variables() -> None:
    """As in PM2's documentation."""
    app = serve(env={"PM2_SERVE_PATH": "build", "PM2_SERVE_PORT": 8089, "PM2_SERVE_SPA": "true"})
    assert (app.argv, app.interpreter) == (module_argv("pidone.fileserver"), "none")
    assert (app.name, app.env["PM2_SERVE_PATH"], app.listen[0].port) == ("site", "/build", 8089)


def test_arguments_are_those_of_pm2_serve() -> None:
    """Path, port and host; variables count more."""
    app = serve(args="build 8089 127.0.0.1 --spa", env={"PM2_SERVE_PORT": "8090"})
    assert (app.env["PM2_SERVE_PATH"], app.env["PM2_SERVE_SPA"]) == ("/build", "true")
    assert (app.listen[0].host, app.listen[0].port) == ("127.0.0.1", 8090)


def test_keys_of_the_app_count_more() -> None:
    """Ports of each instance's own leave nothing to share."""
    assert serve(listen=[9000]).listen[0].port == 9000
    assert serve(ready="http:/").ready.probe is not None
    assert serve(increment_var="PM2_SERVE_PORT", instances=2).listen == ()
    assert serve(wait_ready=True).ready.notify


def test_a_program_of_that_name_is_run_if_nothing_speaks_for_pm2s(tmp_path: Path) -> None:
    """npm has a `serve` as well; a file of that name is a script as any other."""
    program = tmp_path / "serve"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = options(environ={"PATH": str(tmp_path)})
    spec = resolve(document({"script": "serve", "args": "-s dist"}), found).apps[0]
    assert spec.argv == (str(program), "-s", "dist")
    spec = resolve(document({"script": "serve", "env": {"PM2_SERVE_PATH": "."}}), found).apps[0]
    assert spec.argv == module_argv("pidone.fileserver")
    spec = resolve(document({"script": "serve", "cwd": str(tmp_path)}), options(must_exist=True)).apps[0]
    assert spec.argv[-1] == str(program)


def test_a_folder_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    """A job may make it; and a folder beside the file is found from elsewhere, as scripts are."""
    (tmp_path / "etc/dist").mkdir(parents=True)
    (tmp_path / "etc/e.json").touch()
    how = options(must_exist=True, cwd=tmp_path)
    ecosystem = resolve(document(language="json", source="etc/e.json", static=[{"path": "dist"}]), how)
    assert ecosystem.apps[0].env["PM2_SERVE_PATH"] == str(tmp_path / "etc/dist")
    assert ecosystem.warnings == ()
    ecosystem = resolve(document(language="json", source="etc/e.json", static=[{"path": "nope"}]), how)
    assert f'it serves "{tmp_path}/nope", which is no folder yet' in ecosystem.warnings[0]


@pytest.mark.parametrize("has_references", [True, False])
def test_conversion_keeps_the_meaning(has_references: bool) -> None:  # noqa: FBT001  # a parameter
    """Aliases become canonical, unknown keys go, folders stay where they are."""
    entry = {
        "path": "di${X}st",
        "port": 8081,
        "maxMemoryRestart": "1G",
        "nope": 1,
        "monitor": "x",
        "env": {"A": 1},
    }
    before = document({"script": "/bin/true"}, language="json", static=[entry])
    how = options(cwd=Path("/srv"))
    found = convert(before, how, OutputFile(Path("/srv"), has_references=has_references))
    language = "toml" if has_references else "json"
    after = document(*found.tables.apps, language=language, static=found.tables.rest["static"])
    assert resolve(after, how).apps == found.ecosystem.apps
    assert resolve(after, how).warnings == ()
