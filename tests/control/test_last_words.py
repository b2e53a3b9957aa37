"""The line that tells why a program ended, as the usual runtimes print it."""

import json

import pytest

from pidone.control.answers.last_words import last_words
from pidone.control.answers.log_query import choose
from pidone.logs.fields import fields_of
from pidone.logs.telling import telling

NODE = r"""
node:events:497
      throw er; // Unhandled 'error' event
      ^

Error: listen EADDRINUSE: address already in use :::3000
    at Server.setupListenHandle [as _listen2] (node:net:1817:16)
Emitted 'error' event on Server instance at:
    at emitErrorNT (node:net:1796:8) {
  code: 'EADDRINUSE',
  errno: -98
}

Node.js v20.11.0
"""
PYTHON = """
Traceback (most recent call last):
  File "/app/main.py", line 3, in <module>
    import flask
ModuleNotFoundError: No module named 'flask'
"""
GO = """
2026/01/31 12:00:00 starting
panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.main()
\t/app/main.go:5 +0x1d
exit status 2
"""
RUST = """
thread 'main' panicked at src/main.rs:2:5:
no database at db:5432
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""
JAVA = """
Exception in thread "main" java.lang.IllegalStateException: no DATABASE_URL
\tat com.example.Main.main(Main.java:12)
"""
PHP = """
PHP Fatal error:  Uncaught PDOException: could not find driver in /app/index.php:3
Stack trace:
#0 /app/index.php(3): PDO->__construct()
#1 {main}
  thrown in /app/index.php on line 3
"""
DOTNET = """
Unhandled exception. System.InvalidOperationException: boom
   at Program.<Main>$(String[] args) in /app/Program.cs:line 1
"""
RUBY = """
app.rb:2:in `<main>': no such table: users (RuntimeError)
\tfrom app.rb:9:in `run'
"""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (NODE, "Error: listen EADDRINUSE: address already in use :::3000"),
        (PYTHON, "ModuleNotFoundError: No module named 'flask'"),
        (GO, "panic: runtime error: index out of range [3] with length 3"),
        (RUST, "thread 'main' panicked at src/main.rs:2:5: no database at db:5432"),
        (JAVA, 'Exception in thread "main" java.lang.IllegalStateException: no DATABASE_URL'),
        (PHP, "PHP Fatal error:  Uncaught PDOException: could not find driver in /app/index.php:3"),
        (DOTNET, "Unhandled exception. System.InvalidOperationException: boom"),
        (RUBY, "app.rb:2:in `<main>': no such table: users (RuntimeError)"),
        ("sh: 1: gunicorn: not found", "sh: 1: gunicorn: not found"),
        ("ready\nbye for now\n\n", "bye for now"),
        ("  indented only\n}\n", ""),
        ("", ""),
    ],
    ids=["node", "python", "go", "rust", "java", "php", "dotnet", "ruby", "sh", "calm", "noise", "nothing"],
)
def test_the_line_that_tells_most(said: str, expected: str) -> None:
    """Not the stack, the version or the advice around it."""
    assert telling(said.split("\n")) == expected


def records(*rows: dict[str, object]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_only_what_that_process_called_an_error() -> None:
    """Its stderr, and errors that it logs elsewhere; nothing of the life that follows, nor of its stdout."""
    said = records(
        {"app": "api", "pid": 7, "stream": "stderr", "message": "\x1b[31mError: old\x1b[0m"},
        {"app": "api", "event": "instance.exit", "message": "ended with an error"},
        {"app": "api", "pid": 8, "stream": "stdout", "level": "fatal", "msg": "cannot connect to db"},
        {"app": "api", "pid": 8, "stream": "stdout", "level": "info", "message": "no error at all"},
        {"app": "api", "pid": 9, "stream": "stderr", "message": "Error: another one"},
    )
    assert last_words(said, lambda pid: pid == 7) == "Error: old"
    assert last_words(said, lambda pid: pid == 8) == "cannot connect to db"
    assert last_words(said, lambda pid: pid == 6) == ""
    assert last_words(b"", lambda _pid: True) == ""


def test_a_joined_stack_is_looked_through_line_by_line() -> None:
    """A record may hold many lines."""
    said = records({"pid": 7, "stream": "stderr", "message": PYTHON.strip()})
    assert last_words(said, lambda _pid: True) == "ModuleNotFoundError: No module named 'flask'"


def test_an_error_within_a_record_is_found() -> None:
    """As pino and winston put it."""
    said = records({"pid": 7, "stream": "stdout", "level": "error", "err": {"message": "timed out"}})
    assert last_words(said, lambda _pid: True) == "timed out"


def test_what_is_nested_without_end_harms_nobody() -> None:
    """All of `ls` would fail by one line of one app."""
    deep = b'{"pid":7,"stream":"stderr","err":' + b'{"err":' * 990 + b'"x"' + b"}" * 991 + b"\n"
    said = records({"pid": 7, "stream": "stderr", "message": "Error: readable"})
    assert last_words(said + deep, lambda _pid: True) == "Error: readable"
    for levels, is_read in ((50, True), (300, False), (990, False)):
        nested = b'{"pid":7,"err":' + b'{"err":' * levels + b'"x"' + b"}" * (levels + 1)
        assert bool(fields_of(nested)) is bool(fields_of(nested.decode())) is is_read
    assert not choose({"level": "error"}, 0.0)(deep.decode())
