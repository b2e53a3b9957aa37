"""Which command line a script becomes."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from ecosystem.box import Box
from ecosystem.documents import options, read

from pidone.ecosystem.load import from_command
from pidone.ecosystem.programs.working import never_listens
from pidone.ecosystem.spec import ExecMode
from pidone.errors import ConfigError
from pidone.signames import signal_name


@pytest.mark.parametrize(
    ("name", "commands", "argv"),
    [
        ("app.js", ["node"], ["node", "./app.js"]),
        ("app.mjs", ["bun"], ["bun", "./app.mjs"]),
        ("app.ts", ["bun", "node"], ["bun", "./app.ts"]),
        ("app.py", ["python3", "python"], ["python3", "./app.py"]),
        ("app.py", ["python"], ["python", "./app.py"]),
        ("run.sh", ["sh"], ["sh", "./run.sh"]),
        ("run.sh", ["bash", "sh"], ["bash", "./run.sh"]),
        ("app.rb", ["ruby"], ["ruby", "./app.rb"]),
        ("app.php", ["php"], ["php", "./app.php"]),
        ("bin/www", ["node"], ["node", "./bin/www"]),
    ],
)
def test_the_extension_chooses_the_interpreter(
    box: Box, name: str, commands: list[str], argv: list[str]
) -> None:
    """PM2's map of extensions; text without extension and shebang is for Node."""
    box.file(name)
    box.commands(*commands)
    assert box.argv(script=name) == argv


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("#!/usr/bin/env python3", ["python3", "./tool"]),
        ("#!/usr/bin/env -S python3 -u", ["python3", "-u", "./tool"]),
        ("#!{bin}/ruby -w", ["ruby", "-w", "./tool"]),
    ],
)
def test_a_shebang_is_honoured(box: Box, line: str, argv: list[str]) -> None:
    """PM2 feeds such a script to Node; the file need not be executable."""
    box.commands("python3", "ruby", "node")
    box.file("tool", line.replace("{bin}", str(box.bin)) + "\nbody\n")
    assert box.argv(script="tool") == argv


def test_a_shebang_whose_program_is_missing_yields_to_the_extension(box: Box) -> None:
    """A bash script on an image without bash runs by sh, and that is said."""
    box.commands("sh")
    box.file("run.sh", "#!/bin/does-not-exist\n")
    assert box.argv(script="run.sh") == ["sh", "./run.sh"]
    assert "does-not-exist" in box.notices[0]
    box.file("run", "#!/bin/does-not-exist\n")
    assert "asks for /bin/does-not-exist" in box.error(script="run")


def test_an_interpreter_may_be_named(box: Box) -> None:
    """Names from PATH, paths from cwd, node_modules/.bin; arguments go before the script."""
    box.commands("node", "python3")
    box.file("x.js")
    box.file("venv/bin/python", b"\x7fELF\0", mode=0o755)
    box.file("node_modules/.bin/ts-node", "#!/usr/bin/env node\n", mode=0o755)
    assert box.argv(script="x.js", interpreter="python3", interpreter_args="-u") == [
        "python3",
        "-u",
        "./x.js",
    ]
    assert box.argv(script="x.js", interpreter="venv/bin/python") == ["./venv/bin/python", "./x.js"]
    assert box.argv(script="x.js", exec_interpreter="ts-node") == ["./node_modules/.bin/ts-node", "./x.js"]
    assert box.argv(script="x.js", node_args=["--inspect"], args="a b") == [
        "node",
        "--inspect",
        "./x.js",
        "a",
        "b",
    ]


def test_a_version_of_node_is_not_installed(box: Box) -> None:
    """PM2 would let nvm download node@16.13.1; a container has the Node of its image."""
    box.commands("node")
    box.file("x.js")
    assert box.argv(script="x.js", interpreter="node@16.13.1") == ["node", "./x.js"]
    assert "node@16.13.1" in box.warnings[0]


def test_no_interpreter_runs_the_file_itself(box: Box) -> None:
    """`none` needs an executable file."""
    box.file("server", b"\x7fELF\0", mode=0o755)
    assert box.argv(script="./server", interpreter="none", args=["-g", "daemon off;"]) == [
        "./server",
        "-g",
        "daemon off;",
    ]
    box.file("plain", b"\x7fELF\0")
    assert "EACCES" in box.error(script="plain", interpreter="none")


def test_a_binary_needs_no_interpreter(box: Box) -> None:
    """A Go program is executed, also without `interpreter: none`."""
    box.file("server", b"\x7fELF\x02\0\0", mode=0o755)
    assert box.argv(script="server") == ["./server"]


def test_commands_of_path(box: Box) -> None:
    """What is no file in cwd is looked up on PATH and runs as it is; a virtualenv comes first."""
    box.commands("gunicorn")
    assert box.argv(script="gunicorn", args="app:app") == ["gunicorn", "app:app"]
    box.file("venv/bin/gunicorn", "#!x\n", mode=0o755)
    assert box.argv(script="gunicorn", environ={"VIRTUAL_ENV": str(box.cwd / "venv")}) == [
        "./venv/bin/gunicorn"
    ]


def test_a_node_command_in_a_cluster_is_run_by_node(box: Box) -> None:
    """Behind a launcher Node's cluster channel would be lost, so its shebang is followed here."""
    box.commands("node")
    (box.bin / "next").write_text("#!/usr/bin/env node\n")
    (box.bin / "next").chmod(0o755)
    assert box.argv(script="next", args="start", exec_mode="cluster") == ["node", "next", "start"]
    assert box.argv(script="next", args="start") == ["next", "start"]


def test_a_command_line_needs_no_shell(box: Box) -> None:
    """A text that a shell would only split is split here, so that signals and the channel arrive."""
    box.commands("sh", "dotnet", "node", "gunicorn")
    box.file("start.sh", mode=0o755)
    assert box.argv(script="dotnet run -c 'a b'") == ["dotnet", "run", "-c", "a b"]
    assert box.argv(script="gunicorn app:app -b :80", exec_mode="fork") == [
        "gunicorn",
        "app:app",
        "-b",
        ":80",
    ]
    assert box.argv(language="toml", script="dotnet run", args=["a b"]) == ["dotnet", "run", "a b"]
    assert box.argv(script="./start.sh --x") == ["sh", "./start.sh", "--x"]
    app = box.app(script="node express.js --x", instances=2)
    assert (app.exec_mode, app.argv[1:]) == (ExecMode.CLUSTER, ("express.js", "--x"))
    assert not box.notices
    assert "no command of that name is on PATH" in box.error(script="nope at all")


def test_what_a_shell_is_for_goes_through_one(box: Box) -> None:
    """bash where there is one; it is said. Arguments are kept in TOML, in PM2's files as there."""
    box.commands("sh")
    assert box.argv(script="cd x && ./run") == ["sh", "-c", "cd x && ./run"]
    assert "through the shell" in box.notices[0]
    box.commands("bash")
    assert box.argv(script="source ./a && [[ $X = y ]]") == ["bash", "-c", "source ./a && [[ $X = y ]]"]
    assert box.argv(language="toml", script="a && b", args=["c"]) == ["bash", "-c", 'a && b "$@"', "sh", "c"]
    assert box.argv(script="a && b", args=["c"]) == ["bash", "-c", "a && b"]
    assert "args: a script with blanks does not get them" in box.warnings[0]


@pytest.mark.parametrize(
    ("word", "argv"),
    [
        ("http://*:3000", ["perl", "./app.pl", "daemon", "-l", "http://*:3000"]),
        ("[::]:3000", ["perl", "./app.pl", "daemon", "-l", "[::]:3000"]),
        ("http://[::1]:3000/?x=1", ["perl", "./app.pl", "daemon", "-l", "http://[::1]:3000/?x=1"]),
        ("*.nothing", ["perl", "./app.pl", "daemon", "-l", "*.nothing"]),
        ("/nowhere/at/all/*", ["perl", "./app.pl", "daemon", "-l", "/nowhere/at/all/*"]),
        ("*.pl", ["sh", "-c", "exec perl ./app.pl daemon -l *.pl"]),
        ("[^b]pp.pl", ["sh", "-c", "exec perl ./app.pl daemon -l [^b]pp.pl"]),
        ("[[:alpha:]]pp.pl", ["sh", "-c", "exec perl ./app.pl daemon -l [[:alpha:]]pp.pl"]),
        ("$HOST:3000", ["sh", "-c", "exec perl ./app.pl daemon -l $HOST:3000"]),
        ("*:$PORT", ["sh", "-c", "exec perl ./app.pl daemon -l *:$PORT"]),
    ],
)
def test_an_interpreter_of_a_command_line(box: Box, word: str, argv: list[str]) -> None:
    """A pattern without a file is a word, as for the shell; where it takes one, the interpreter stays."""
    box.commands("sh", "perl")
    box.file("app.pl")
    found = box.argv(name="web", script=f"./app.pl daemon -l {word}", interpreter="perl")
    assert [each.replace(f"{box.bin}/", "") for each in found] == argv
    assert not box.warnings


def test_an_interpreter_that_the_shell_cannot_be_given(box: Box) -> None:
    """What it would run is not clear: it is dropped, and said."""
    box.commands("sh", "node", "echo")
    box.file("app.js")
    for script in ("cd x && ./app.js", "X=1 ./app.js", "./app.js | cat", "echo $X"):
        assert box.argv(name="web", script=script, interpreter="node") == ["sh", "-c", script]
        assert "interpreter" in box.warnings[0]
        assert "dropped, as the shell runs this script" in box.warnings[0]
    assert box.argv(name="web", script="echo $X", interpreter="bash") == ["sh", "-c", "echo $X"]
    assert not box.warnings


def test_arguments_of_an_interpreter_before_the_shell_has_read_the_rest(box: Box) -> None:
    """They are words; the app is one of that interpreter."""
    box.commands("sh", "node")
    box.file("app.js")
    app = box.app(script="./app.js $X > log", interpreter="node", node_args=["--title", "a b"], instances=2)
    assert app.argv[2].replace(f"{box.bin}/", "") == "exec node --title 'a b' ./app.js $X > log"
    assert not box.warnings


@pytest.mark.parametrize(
    "keys",
    [
        {"script": "uvicorn a:b --port 80", "exec_mode": "cluster"},
        {"script": "rusty", "exec_mode": "cluster"},
        {"script": "rusty", "exec_mode": "cluster", "listen": [80]},
        {"script": "uvicorn a:b", "exec_mode": "cluster", "share": "python"},
        {"script": "rusty", "instances": 2},
        {"script": "node x.js", "instances": 2},
    ],
)
def test_a_cluster_shares_and_needs_no_hint(box: Box, keys: dict[str, Any]) -> None:
    """The kernel shares the ports of every program."""
    box.commands("rusty", "node")
    (box.bin / "uvicorn").write_text("#!/usr/bin/python3\n")
    (box.bin / "uvicorn").chmod(0o755)
    box.app(**keys)
    assert not box.notices


def test_python_prints_at_once(box: Box) -> None:
    """PYTHONUNBUFFERED for Python and for commands that Python runs, unless somebody says otherwise."""
    box.commands("python3", "node")
    for name, line in (("gunicorn", "#!/usr/bin/python3.12"), ("serve-js", "#!/usr/bin/env node")):
        (box.bin / name).write_text(f"{line}\n")
        (box.bin / name).chmod(0o755)
    box.file("app.py")
    box.file("app.js")
    for script in ("app.py", "gunicorn app:app", "python3 -m x"):
        assert box.app(script=script).env["PYTHONUNBUFFERED"] == "1"
    assert box.app(script="app.py", env={"PYTHONUNBUFFERED": ""}).env["PYTHONUNBUFFERED"] == ""
    assert "PYTHONUNBUFFERED" not in box.app(script="app.py", environ={"PYTHONUNBUFFERED": "0"}).env
    for other in ("app.js", "serve-js"):
        assert "PYTHONUNBUFFERED" not in box.app(script=other).env


@pytest.mark.parametrize(
    ("version", "argv"),
    [
        ("v20.20.2", None),
        ("v22.6.0", ["node", "--experimental-strip-types", "./app.ts"]),
        ("v22.18.0", ["node", "./app.ts"]),
        ("v23.0.0", ["node", "--experimental-strip-types", "./app.ts"]),
        ("v24.1.0", ["node", "./app.ts"]),
    ],
)
def test_typescript_by_node_itself(box: Box, version: str, argv: list[str] | None) -> None:
    """Where nothing made for it is there, and only if Node is new enough."""
    (box.bin / "node").write_text(f"#!/bin/sh\necho {version}\n")
    (box.bin / "node").chmod(0o755)
    box.file("app.ts")
    if argv is None:
        assert "needs bun or tsx or ts-node or deno (or Node from 22.6 on)" in box.error(script="app.ts")
    else:
        assert box.argv(script="app.ts") == argv
        assert box.app(script="app.ts", instances=2).exec_mode is ExecMode.CLUSTER


def test_a_file_with_blanks_in_its_name_is_a_file(box: Box) -> None:
    """Blanks only mean the shell when there is no such file."""
    box.commands("node")
    box.file("my app.js")
    assert box.argv(script="my app.js") == ["node", "./my app.js"]


@pytest.mark.parametrize(
    ("script", "keys", "signal"),
    [
        ("nginx", {}, "SIGQUIT"),
        ("php-fpm8.2", {}, "SIGQUIT"),
        ("httpd", {}, "SIGWINCH"),
        ("lighttpd", {}, "SIGINT"),
        ("unicorn", {}, "SIGQUIT"),
        ("rainbows", {}, "SIGQUIT"),
        ("hypnotoad", {}, "SIGQUIT"),
        ("haproxy", {}, "SIGUSR1"),
        ("postgres", {}, "SIGINT"),
        ("uwsgi", {}, "SIGINT"),
        ("uwsgi", {"args": ["--die-on-term"]}, None),
        ("nginx", {"kill_signal": "SIGTERM"}, None),
        ("redis-server", {}, None),
    ],
)
def test_programs_with_a_signal_of_their_own(
    box: Box, script: str, keys: dict[str, Any], signal: str | None
) -> None:
    """A known program is stopped as its manual has it, and that is told; what the file says counts."""
    box.commands(script)
    app = box.app(script=script, language="toml", **keys)
    assert signal_name(app.kill_signal) == signal or (signal is None and app.kill_signal == 15)
    assert any(signal in notice for notice in box.notices) if signal else not box.notices


@pytest.mark.parametrize("script", ["unicorn -p 80", "bundle exec unicorn -p 80", "./unicorn"])
def test_a_signal_of_its_own_behind_an_interpreter(box: Box, script: str) -> None:
    """Cluster mode names the interpreter of a script first."""
    box.commands("ruby", "bundle")
    for command in (box.bin / "unicorn", box.bin / "bundle", box.file("unicorn")):
        command.write_text("#!/usr/bin/env ruby\n")
        command.chmod(0o755)
    app = box.app(script=script, language="toml", exec_mode="cluster", instances=2)
    assert signal_name(app.kill_signal) == "SIGQUIT"
    assert any("unicorn stops in order by SIGQUIT" in notice for notice in box.notices)


def test_a_server_of_busybox_is_another_one(box: Box) -> None:
    """Its httpd knows no SIGWINCH."""
    box.commands("busybox")
    (box.bin / "httpd").symlink_to("busybox")
    assert box.app(script="httpd", language="toml").kill_signal == 15


STANDALONE = "const { startServer } = require('next/dist/server/lib/start-server')"


@pytest.mark.parametrize(
    ("script", "keys", "is_told"),
    [
        ("server.js", {}, True),
        ("server.js", {"ready": "listen"}, False),
        ("server.js", {"exec_mode": "fork"}, False),
        ("other.js", {}, False),
        ("node_modules/.bin/next", {"args": ["start", "-p", "3000"]}, True),
        ("node_modules/.bin/next", {"args": ["dev"]}, False),
    ],
)
def test_a_program_that_listens_before_it_can_answer(
    box: Box, script: str, keys: dict[str, Any], *, is_told: bool
) -> None:
    """Next.js gets no connection until it says that it is ready; what the file says counts."""
    box.commands("node")
    box.file(script, STANDALONE if script == "server.js" else "require('http')")
    app = box.app(
        **{"script": script, "interpreter": "node", "exec_mode": "cluster", "language": "toml", **keys}
    )
    assert (app.ready.log is not None, app.balance == "spread") == (is_told, is_told)
    assert any("Next.js" in notice for notice in box.notices) is is_told
    if app.ready.log is not None:
        assert re.search(app.ready.log, " ✓ Ready in 245ms")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"script": "nope.js"}, 'script = "nope.js": not found in'),
        ({"script": "./nope"}, 'script = "./nope": not found in'),
        ({"script": "a.js", "interpreter": "nope"}, 'interpreter = "nope": not found on PATH'),
        ({"script": "a.js"}, "needs node or bun or deno, which is not on PATH"),
        ({"script": "folder"}, "is a folder"),
        ({"script": "a.js", "cwd": "nowhere"}, "no such folder"),
        ({"script": "a.js", "cwd": "a.js"}, "is not a folder"),
        ({"script": "  "}, "expected a program"),
        ({}, "script is missing"),
    ],
)
def test_what_cannot_run_is_refused_with_app_key_and_value(
    box: Box, keys: dict[str, Any], message: str
) -> None:
    """Nothing is half-started because of a program that is not there."""
    box.file("a.js")
    (box.cwd / "folder").mkdir()
    error = box.error(name="api", **keys)
    assert 'app "api": ' in error
    assert message in error


def test_a_pm2_file_elsewhere_may_mean_its_own_folder(box: Box) -> None:
    """`pidone sub/ecosystem.json` finds sub/app.py, with a notice; PM2 would not."""
    from ecosystem.documents import document

    from pidone.ecosystem.load import resolve

    box.commands("python3")
    box.file("sub/app.py")
    how = options(cwd=box.cwd, must_exist=True, environ={"PATH": str(box.bin)})
    ecosystem = resolve(document({"script": "app.py"}, language="json", source="sub/e.json"), how)
    assert ecosystem.apps[0].cwd == str(box.cwd / "sub")
    assert "own folder" in ecosystem.notices[0]
    assert resolve(document({"script": "app.py"}, source="sub/e.toml"), how).apps[0].cwd == str(
        box.cwd / "sub"
    )


def test_arguments_of_the_command_line_go_to_every_app() -> None:
    """`pidone FILE -- ARGS` appends, as PM2 does."""
    apps = read({"script": "/bin/a", "args": "x"}, {"script": "/bin/b"}, args=("y", "z w")).apps
    assert [app.args for app in apps] == [("x", "y", "z w"), ("y", "z w")]
    assert apps[0].argv[-3:] == ("x", "y", "z w")


def test_a_command_instead_of_a_file(box: Box) -> None:
    """`pidone -- gunicorn app:app` is one app named after its command."""
    box.commands("gunicorn")
    how = options(cwd=box.cwd, must_exist=True, environ={"PATH": str(box.bin)}, overrides={"instances": "2"})
    app = from_command(["gunicorn", "app:app"], how).apps[0]
    assert (app.name, app.instances, app.argv) == ("gunicorn", 2, (str(box.bin / "gunicorn"), "app:app"))
    with pytest.raises(ConfigError, match=r'command line: app .*"nope"'):
        from_command(["nope"], how)


def test_the_real_path_is_searched() -> None:
    """With the surroundings of this process, sh is found where the system has it."""
    app = from_command(["sh", "-c", "true"], options(must_exist=True, environ=dict(os.environ))).apps[0]
    assert Path(app.argv[0]).name == "sh"
    assert app.argv[1:] == ("-c", "true")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("celery -A app worker -c 2", True),
        ("python3 -m celery -A app beat", True),
        ("celery -A app flower", False),
        ("/venv/bin/dramatiq app", True),
        ("python /venv/bin/huey_consumer.py app.huey", True),
        ("rq worker --url redis://localhost", True),
        ("rq info", False),
        ("python manage.py rqworker default", True),
        ("python manage.py runserver", False),
        ("bundle exec sidekiq -q default", True),
        ("php artisan queue:work", True),
        ("php artisan serve", False),
        ("gunicorn app:celery", False),
    ],
)
def test_workers_of_a_queue(line: str, *, expected: bool) -> None:
    """Known ones are told from what the same programs serve."""
    assert never_listens(line.split()) is expected
