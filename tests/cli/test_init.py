"""`pidone init`."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from harness import pidone

from pidone.cli.click_app import run as run_command
from pidone.ecosystem.load import load
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.spec import AppSpec


def run(words: list[str]) -> int:
    """`pidone init`, in this process."""
    return run_command(["init", *words])


SUPERVISORD = """\
[unix_http_server]
file=/tmp/supervisor.sock

[supervisord]
nodaemon=true
environment=SHARED="all of them",LEVEL=1

[group:web]
programs=api

[program:late]
command=/bin/sh -c "echo %(program_name)s | cat" ; a comment
priority=2000
autorestart=true
redirect_stderr=true

[program:api]
command=/usr/bin/env node %(here)s/api.js --port=80%%
directory=%(here)s/app
user=root
environment=LEVEL="2",DSN="%(ENV_DSN)s",COMMA="a,b",TEXT="${x}"
numprocs=3
process_name=%(program_name)s_%(process_num)02d
startsecs=5
startretries=7
stopsignal=QUIT
stopwaitsecs=20
exitcodes=0,2
killasgroup=true
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
stderr_logfile=/var/log/api.err

[include]
files = more/*.ini
"""


def made(folder: Path, **environ: str) -> dict[str, AppSpec]:
    """The apps of the file that init writes there."""
    assert run([str(folder)]) == 0
    options = LoadOptions(environ={"PATH": "/usr/bin:/bin", **environ}, cwd=folder, must_exist=False)
    ecosystem = load(folder / "ecosystem.toml", options)
    assert [warning for warning in ecosystem.warnings if "not supported yet" not in warning] == []
    return {app.name: app for app in ecosystem.apps}


def test_a_procfile(tmp_path: Path) -> None:
    """Plain commands without a shell, PORT with a default, release first."""
    (tmp_path / "Procfile").write_text(
        "# comment\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\nworker: python -m worker 'a b'\n"
        "release: ./migrate\n"
    )
    apps = made(tmp_path, PORT="99")
    assert apps["worker"].script == "python"
    assert apps["worker"].args == ("-m", "worker", "a b")
    assert apps["web"].argv[1:] == ("-c", "gunicorn app:app --bind 0.0.0.0:$PORT")
    assert apps["web"].env == {"PORT": "99"}
    assert apps["release"].autorestart is False
    assert [(d.app, d.condition.value) for d in apps["web"].depends_on] == [("release", "completed")]


def test_a_supervisord_conf(tmp_path: Path) -> None:
    """Programs by priority, with their environment, times, signals and files."""
    (tmp_path / "supervisord.conf").write_text(SUPERVISORD)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/job.ini").write_text("[program:job]\ncommand=/bin/true\nautorestart=false\n")
    apps = made(tmp_path, DSN="from-outside")
    assert list(apps) == ["api", "job", "late"]
    api = apps["api"]
    assert (api.script, api.args) == ("/usr/bin/env", ("node", "./api.js", "--port=80%"))
    assert (api.cwd, api.uid, api.instances, api.namespace) == (str(tmp_path / "app"), 0, 3, "web")
    assert dict(api.env) | {"HOME": ""} == {
        "HOME": "", "USER": "root", "LOGNAME": "root", "SHARED": "all of them", "LEVEL": "2",
        "DSN": "from-outside", "COMMA": "a,b", "TEXT": "${x}",
    }  # fmt: skip
    assert (api.min_uptime, api.max_restarts, api.kill_signal, api.kill_timeout) == (5.0, 7, 3, 20.0)
    assert (api.stop_exit_codes, api.success_exit_codes) == ((0, 2), (0, 2))
    assert (api.out_file, api.error_file, api.log_max_size) == (None, "/var/log/api.err", None)
    assert apps["job"].autorestart is False
    assert (apps["late"].autorestart, apps["late"].stop_exit_codes) == (True, ())
    assert (
        apps["late"].argv[-1] == 'exec /bin/sh -c "echo late | cat"' or "echo late" in apps["late"].argv[-1]
    )
    assert "process_name" in (tmp_path / "ecosystem.toml").read_text()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"package.json": {"name": "@a/api", "main": "x.js"}, "x.js": ""}, ("api", "x.js", ())),
        ({"package.json": {"name": "a", "scripts": {"start": "node s.js"}}, "s.js": ""}, ("a", "s.js", ())),
        ({"package.json": {"name": "a", "scripts": {"start": "next start"}}}, ("a", "npm start", ())),
        ({"pyproject.toml": '[project]\nname="p"\nscripts={serve="p:main"}'}, ("p", "serve", ())),
        (
            {"main.py": "from fastapi import FastAPI\napi = FastAPI()\n"},
            (None, "uvicorn", ("main:api", "--fd", "{fd}")),
        ),
        ({"app.py": "app = Flask(__name__)\n"}, (None, "gunicorn", ("app:app",))),
        ({"manage.py": "", "site/wsgi.py": ""}, (None, "gunicorn", ("site.wsgi",))),
        ({"server.py": "print()"}, (None, "server.py", ())),
        ({"go.mod": "module example.org/x/api\n"}, ("api", "go", ("run", "."))),
        ({"Gemfile": "gem 'puma'\n", "config.ru": ""}, (None, "bundle", ("exec", "puma"))),
        (
            {"composer.json": {}, "public/index.php": ""},
            (None, "php", ("-S", "0.0.0.0:8000", "-t", "public")),
        ),
        (
            {"Dockerfile": 'FROM a\nCMD x\nFROM b\nENTRYPOINT ["tini", "--"]\nCMD ["node", "s.js"]\n'},
            ("node", "node", ("s.js",)),
        ),
    ],
)
def test_what_is_in_the_folder(files: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path) -> None:
    """The program that the folder seems to be about; an example where it says nothing."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    ((name, app),) = made(tmp_path).items()
    assert (name, app.script, app.args) == (expected[0] or tmp_path.name, *expected[1:])


def test_a_script_that_is_not_there_is_not_written(tmp_path: Path) -> None:
    """Where nothing says what runs, the file says so, and how to go on."""
    assert run([str(tmp_path)]) == 0
    text = (tmp_path / "ecosystem.toml").read_text()
    assert "Nothing here says what to run" in text
    assert "script" not in tomllib.loads(text)["apps"][0]


def test_ideas_become_keys_by_uncommenting_them(tmp_path: Path) -> None:
    """They stand in the app, before its tables."""
    (tmp_path / "Procfile").write_text("web: serve $PORT\n")
    assert run([str(tmp_path)]) == 0
    text = (tmp_path / "ecosystem.toml").read_text()
    assert text.startswith("#:schema https://")
    assert tomllib.loads(text.replace("# instances =", "instances ="))["apps"][0]["instances"] == "max"


@pytest.mark.parametrize(
    ("command", "args", "listen"),
    [
        (
            '["gunicorn", "app:app", "-b", "0.0.0.0:8000", "-w", "2"]',
            ["app:app", "-w", "2"],
            ["0.0.0.0:8000"],
        ),
        ("gunicorn --bind=:8000 app:app", ["app:app"], [":8000"]),
        ("uvicorn m:a --host 0.0.0.0 --port 80", ["m:a", "--fd", "{fd}"], ["0.0.0.0:80"]),
        ("exec hypercorn m:a -b 0.0.0.0:80", ["m:a", "-b", "fd://{fd}"], ["0.0.0.0:80"]),
        ('["sh", "-c", "exec uvicorn m:a --port 80"]', ["m:a", "--fd", "{fd}"], ["127.0.0.1:80"]),
    ],
)
def test_a_port_becomes_a_socket_to_share(
    command: str, args: list[str], listen: list[str], tmp_path: Path
) -> None:
    """Of servers that take one."""
    (tmp_path / "Dockerfile").write_text(f"FROM a\nCMD {command}\n")
    assert run([str(tmp_path)]) == 0
    (app,) = tomllib.loads((tmp_path / "ecosystem.toml").read_text())["apps"]
    assert (app["args"], app["listen"]) == (args, listen)


def test_a_compose_file(tmp_path: Path) -> None:
    """Services with commands; others are named, and nobody depends on them."""
    (tmp_path / "compose.yaml").write_text(
        """services:
  api:
    build: .
    command: gunicorn app:app
    environment: [A=1, "B=x=y"]
    depends_on: {db: {condition: service_healthy}, migrate: {condition: service_completed_successfully}}
    stop_grace_period: 20s
  migrate: {build: ., command: [./migrate, --all], restart: "no"}
  db: {image: postgres}
"""
    )
    apps = made(tmp_path)
    assert list(apps) == ["api", "migrate"]
    assert apps["api"].env["B"] == "x=y"
    assert apps["api"].kill_timeout == 20.0
    assert [(each.app, each.condition.value) for each in apps["api"].depends_on] == [("migrate", "completed")]
    assert not apps["migrate"].autorestart
    assert "db (image postgres)" in (tmp_path / "ecosystem.toml").read_text()


def test_numbers_of_supervisords_processes_keep_their_zeros(tmp_path: Path) -> None:
    """In a command by the shell, in a variable by counting; what can be done by neither is told."""
    (tmp_path / "supervisord.conf").write_text(
        "[program:a]\ncommand=serve --port=91%(process_num)02d\nnumprocs=3\npriority=5\n"
        'environment=PORT="91%(process_num)02d",ID="x%(process_num)02d-y"\n'
        "[eventlistener:e]\ncommand=x\n"
    )
    app = made(tmp_path)["a"]
    assert app.script == "serve --port=91$(printf %02d $NODE_APP_INSTANCE)"
    assert (app.increment_var, app.env["PORT"]) == ("PORT", "9100")
    text = (tmp_path / "ecosystem.toml").read_text()
    assert "ID of environment" in text
    assert "eventlistener:e" in text
    assert "order is that of priority" in text


def test_numbers_of_supervisords_processes_begin_where_it_says(tmp_path: Path) -> None:
    """`numprocs_start`; and the other expansions that supervisord knows."""
    (tmp_path / "supervisord.conf").write_text(
        "[program:a]\ncommand=serve --port=91%(process_num)02d --of=%(numprocs)d --on=%(host_node_name)s\n"
        'numprocs=3\nnumprocs_start=1\nenvironment=PORT="91%(process_num)02d"\n'
        "[program:b]\ncommand=serve %(program_name)s\nnumprocs_start=x\n"
    )
    apps = made(tmp_path)
    script = apps["a"].script
    assert script.startswith("serve --port=91$(printf %02d $((NODE_APP_INSTANCE + 1))) --of=3 --on=")
    assert "%(" not in script
    assert (apps["a"].increment_var, apps["a"].env["PORT"]) == ("PORT", "9101")
    assert apps["b"].args == ("b",)


def test_supervisords_names_and_numbers_of_every_kind(tmp_path: Path) -> None:
    """The name of the group, hexadecimal and signed numbers; a folder for each process is told."""
    (tmp_path / "supervisord.conf").write_text(
        "[program:a]\ncommand=serve --of=%(group_name)s/%(program_name)s %(process_num)x %(process_num)+03d"
        " %(process_num)d%(process_num)s\nnumprocs=2\ndirectory=/srv/%(process_num)02d\n"
        "[program:b]\ncommand=serve %(group_name)s\n[group:g]\nprograms=a\n"
    )
    apps = made(tmp_path)
    number = "$NODE_APP_INSTANCE"
    numbers = f"$(printf %x {number}) $(printf %+03d {number}) {number}{number}"
    assert apps["a"].script == f"serve --of=g/a {numbers}"
    assert apps["a"].cwd == str(tmp_path)
    assert apps["b"].args == ("b",)
    assert "%(process_num) of directory" in (tmp_path / "ecosystem.toml").read_text()


@pytest.mark.parametrize("name", ["ecosystem.toml", "ecosystem.config.js"])
def test_nothing_is_overwritten(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it is asked for."""
    (tmp_path / name).write_text("mine")
    assert run([str(tmp_path)]) == 64
    assert name in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"
    assert run([str(tmp_path), "--force"]) == 0


def test_it_tells_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is and what it was made from."""
    (tmp_path / "Procfile").write_text("job: echo hello\n")
    assert run([str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(tmp_path / "ecosystem.toml")
    assert "Procfile" in told["made_of"]


def test_a_broken_conf_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With file and line."""
    (tmp_path / "supervisord.conf").write_text("command=x\n")
    assert run([str(tmp_path)]) == 78
    assert "supervisord.conf" in capsys.readouterr().err
    assert not (tmp_path / "ecosystem.toml").exists()


def test_the_command_writes_something_that_runs(tmp_path: Path) -> None:
    """From a Procfile to a running app."""
    (tmp_path / "Procfile").write_text("job: echo hello there\n")
    with pidone("init", cwd=tmp_path) as init:
        assert init.wait() == 0
    with pidone("ecosystem.toml", "--no-autorestart", cwd=tmp_path) as ecosystem:
        assert ecosystem.wait() == 0
        assert ecosystem.find(message="hello there", app="job")
