"""What a line looks like in every format, and how JSON lines, levels and long lines fare."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs.relaying import NOON_TEXT, app, stage

from pidone.ecosystem.spec import AppSpec
from pidone.logs import levels


def out(written: bytes, spec: AppSpec | None = None, *, stream: str = "stdout", name: str = "json") -> bytes:
    """What one app's bytes come out as."""
    with stage(log_format=name) as it:
        outlet = it.open(spec or app(), 2)
        it.say(outlet, written, stream=stream)
        outlet.spawned(77)
        outlet.finish()
        return it.text()


def records(written: bytes, spec: AppSpec | None = None, **keys: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out(written, spec, **keys).splitlines()]


IDENTITY = {"app": "api", "instance": 2, "pid": 77, "stream": "stdout"}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("logfmt", f'ts={NOON_TEXT} level=info app=api instance=2 pid=77 stream=stdout msg="say \\"hi\\""'),
        ("raw", 'say "hi"'),
        ("text", '12:04:43.697 api.2  | say "hi"'),
        (
            "pm2",
            (
                f'{{"message":"say \\"hi\\"","timestamp":"{NOON_TEXT}",'
                '"type":"out","process_id":2,"app_name":"api"}'
            ),
        ),
        ("pm2-format", 'timestamp=2026-11-19-12:04:43+0000 app=api id=2 type=out message=say "hi"'),
        ("pm2-formatted", '2|api  | say "hi"'),
    ],
)
def test_a_line_in_each_format(name: str, line: str) -> None:
    """The shape of a record is what the documentation shows."""
    assert out(b'say "hi"\n', name=name).decode() == line + "\n"


DATE = "YYYY"


@pytest.mark.parametrize(
    ("name", "keys", "lines"),
    [
        ("raw", {"log_date_format": DATE}, ["2026: one", "2026: two"]),
        (
            "pm2",
            {"log_date_format": DATE},
            [
                f'{{"message":"2026: {word}","timestamp":"{NOON_TEXT}",'
                '"type":"out","process_id":2,"app_name":"api"}'
                for word in ("one", "two")
            ],
        ),
        (
            "pm2-format",
            {"log_date_format": DATE},
            [
                f"timestamp=2026-11-19-12:04:43+0000 app=api id=2 type=out message=2026: {w}"
                for w in ("one", "two")
            ],
        ),
        ("pm2-formatted", {"log_date_format": DATE}, ["2|api  | 2026: one", "2|api  | 2026: two"]),
        (
            "raw",
            {"log_type": "json", "log_date_format": 'YYYY"'},
            [
                f'{{"message":"{w}","timestamp":"2026\\"","type":"out","process_id":2,"app_name":"api"}}'
                for w in ("one", "two")
            ],
        ),
        (
            "raw",
            {"log_type": "json"},
            [
                f'{{"message":"{w}","timestamp":"{NOON_TEXT}","type":"out","process_id":2,"app_name":"api"}}'
                for w in ("one", "two")
            ],
        ),
    ],
)
def test_dates_and_records_under_pm2s_names(name: str, keys: dict[str, str], lines: list[str]) -> None:
    """Before each line, in the message of a record; without PM2's name for files only."""
    shown = out(b"one\ntwo\n", app(**keys, dates_output=True), name=name)
    assert shown.decode().splitlines() == lines
    assert "2026: " not in out(b"one\n", app(**keys), name="raw").decode()


def test_ecs_and_gcp_name_their_fields_as_their_readers_expect() -> None:
    """Elastic wants @timestamp and log.level, Google time and severity."""
    (ecs,) = records(b"WARNING: hot\n", name="ecs")
    assert (ecs["@timestamp"], ecs["log.level"], ecs["service.name"]) == (NOON_TEXT, "warning", "api")
    (gcp,) = records(b"FATAL: cold\n", name="gcp")
    assert (gcp["time"], gcp["severity"], gcp["message"]) == (NOON_TEXT, "CRITICAL", "FATAL: cold")


def test_colour_is_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR colours a file; NO_COLOR beats it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert out(b"x\n", name="pm2-formatted") == b"\x1b[32m2|api  | \x1b[39mx\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert out(b"x\n", name="pm2-formatted") == b"2|api  | x\n"


def test_extra_fields_are_in_every_record() -> None:
    """log_fields are static fields of all lines of an app."""
    spec = app(log_fields={"service": "shop", "pod": 'a"b'})
    (record,) = records(b"x\n", spec)
    assert (record["service"], record["pod"]) == ("shop", 'a"b')


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"a":1}', {"timestamp": NOON_TEXT, "level": "info", **IDENTITY, "a": 1}),
        (
            '{"timestamp":"T","level":"warn","message":"m"}',
            {"timestamp": "T", "level": "warn", **IDENTITY, "message": "m"},
        ),
        ('{"level":50,"msg":"m"}', {"timestamp": NOON_TEXT, "level": "error", **IDENTITY, "msg": "m"}),
        ('{"x":"\\"","level":20}', {"timestamp": NOON_TEXT, "level": "debug", **IDENTITY, "x": '"'}),
        (
            '{"severity":"ERROR","a":1}',
            {"timestamp": NOON_TEXT, "level": "error", **IDENTITY, "severity": "ERROR", "a": 1},
        ),
        (
            '{"app":"evil","pid":1,"big":12345678901234567890123}',
            {
                "timestamp": NOON_TEXT,
                "level": "info",
                **IDENTITY,
                "app_app": "evil",
                "app_pid": 1,
                "big": 12345678901234567890123,
            },
        ),
        ('{"pid":77,"b":true}', {"timestamp": NOON_TEXT, "level": "info", **IDENTITY, "b": True}),
        ('{"\\u0061pp":"evil"}', {"timestamp": NOON_TEXT, "level": "info", **IDENTITY, "app_app": "evil"}),
        (
            '{"levelname":"WARNING","message":"m"}',
            {"timestamp": NOON_TEXT, "level": "warning", **IDENTITY, "levelname": "WARNING", "message": "m"},
        ),
        ('{"level":null}', {"timestamp": NOON_TEXT, "level": "info", **IDENTITY}),
    ],
)
def test_json_lines_are_merged_without_touching_the_identity(line: str, expected: dict[str, object]) -> None:
    """An app's own timestamp, level and message win; who it is does not."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len({key for key, _ in pairs}) == len(pairs), "a key is there twice"
        return dict(pairs)

    (text,) = out(line.encode() + b"\n").splitlines()
    assert json.loads(text, object_pairs_hook=unique) == expected


@pytest.mark.parametrize(
    "line",
    [
        '{"a":1',
        '{"a":1}}',
        '{"a":NaN}',
        "{}",
        "{ }",
        "{not json}",
        '{"a":[1}',
        '{"a":"\\ud800"}',
        "{" * 5000 + "}",
        '{"app":"evil","huge":%s}' % ("7" * 5000),
        '{"app":"evil","huge":1e999}',
    ],
)
def test_what_only_looks_like_json_is_a_message(line: str) -> None:
    """No broken record comes out of a broken object."""
    (record,) = records(line.encode() + b"\n")
    assert record["message"] == line


def test_json_and_other_lines_keep_their_order() -> None:
    """Merged and plain lines of one chunk stay in sequence."""
    found = records(b'one\n{"message":"two"}\nthree\n{"message":"four"}\n')
    assert [r["message"] for r in found] == ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("INFO:     127.0.0.1 - GET /", "info"),
        ("WARNING:root:x", "warning"),
        ("ERROR", "error"),
        ("[warn] x", "warning"),
        ("<3>x", "error"),
        ("<7>x", "debug"),
        ("Error: boom", "error"),
        ("E1120 23:04:39.123456  7 x", "error"),
        ("2026-11-20 23:04:39,123 - api.views - WARNING - slow", "warning"),
        ("2026-11-20T23:04:39.123Z  WARN foo: bar", "warning"),
        ("[2026-11-20 23:04:39 +0000] [7] [ERROR] x", "error"),
        ("2026-11-20 23:04:39 [main] ERROR com.x - y", "error"),
        ("2026-11-20 23:04:39.123 UTC [77] ERROR:  relation", "error"),
        ("2026-11-20T23:04:39.123Z\tERROR\tmain.go:3\tx", "error"),
        ("11:22:33.444 [main] WARN  c.x.Y - z", "warning"),
        ("I1120 23:04:39.123456  7 x.cc:3] x", "info"),
        ("panic: runtime error", "fatal"),
        ("2026-11-20T23:04:39.123Z [warning  ] slow  [api]", "warning"),
        ("[error    ] x", "error"),
        ("\x1b[32mINFO\x1b[0m:     Started server process", "info"),
        ("\x1b[31merror\x1b[39m: boom", "error"),
        ("[23:04:39.123] \x1b[33mWARN\x1b[39m (77): slow", "warning"),
        ("\x1b[32m2026-11-20 23:04:39.123\x1b[0m | \x1b[1mERROR   \x1b[0m | \x1b[36mapi\x1b[0m - x", "error"),
        ("\x1b[2m2026-11-20 23:04:39\x1b[0m [\x1b[33m\x1b[1mwarning  \x1b[0m] \x1b[1mslow\x1b[0m", "warning"),
        ("\x1b[1mbold\x1b[0m INFO: x", None),
        ("<11>1 2026-11-20", None),
        ("<b>bold", None),
        ("INFOrmation", None),
        ("error-free", None),
        ("ERROR-free", None),
        ("Errors: 0", None),
        ("I am", None),
        ("IT IS ON", None),
        ("E2E 1234 tests", None),
        ("2026/11/20 23:04:39 [error] 7#7: nginx", "error"),
        ('time="2026-11-20T10:00:00Z" level=warning msg="x"', "warning"),
        ("ts=1 level=error x=y", "error"),
        ("INFORMATIONAL", None),
        ("Error in line 3", None),
        ("Debug mode: on", None),
        ("the water level=high", None),
        ("2026-11-20 hello", None),
        ("x INFO: no prefix", None),
        # servers and frameworks as they really write
        ("2026/11/20 23:04:39 [notice] 7#7: using the epoll event method", "info"),
        ("[Fri Nov 20 23:04:39.123456 2026] [core:notice] [pid 7:tid 1] AH00094: Command line", "info"),
        ("[Fri Nov 20 23:04:39.123456 2026] [proxy:error] [pid 7] (111)Connection refused", "error"),
        ("[Fri Nov 20 23:04:39 2026] [warn] child process 7 still did not exit", "warning"),
        ("[20-Nov-2026 23:04:39] NOTICE: fpm is running, pid 7", "info"),
        ("[20-Nov-2026 23:04:39] WARNING: [pool www] seems busy", "warning"),
        ("20-Nov-2026 23:04:39.123 INFO [main] org.apache.catalina.startup.Catalina.start x", "info"),
        ("PHP Fatal error:  Uncaught Error: x", "fatal"),
        ("[20-Nov-2026 23:04:39 UTC] PHP Warning:  Undefined variable $x", "warning"),
        ('[20/Nov/2026 23:04:39] "GET /x HTTP/1.1" 404 9', "info"),
        ('127.0.0.1 - - [20/Nov/2026 23:04:39] "GET / HTTP/1.1" 200 -', "info"),
        ('10.0.0.7 - bob [20/Nov/2026:23:04:39 +0000] "GET / HTTP/1.1" 200 12 "-" "curl"', "info"),
        ("[20/Nov/2026:23:04:39] ENGINE Bus STARTED", "info"),
        ("*** Starting uWSGI 2.0.28 (64bit) ***", "info"),
        ("[pid: 7|app: 0|req: 1/1] 127.0.0.1 () {32 vars} GET / => generated 2 bytes", "info"),
        ("2026/11/20 23:04:39 kid1| Starting Squid Cache version 6.13", "info"),
        ("2026/11/20 23:04:39 kid1| WARNING: no_suid: setuid(0)", "warning"),
        ("2026/11/20 23:04:39| FATAL: Unable to open", "fatal"),
        ("2026-11-20 23:04:39.123 UTC [77] LOG:  database system is ready", "info"),
        ("2026-11-20 23:04:39.123 UTC [77] STATEMENT:  SELECT 1/0", "info"),
        ("2026-11-20 23:04:39.123 CET [77] bob@db FATAL:  no such role", "fatal"),
        ("LOG:  starting PostgreSQL 17", "info"),
        ("2026-11-20 23:04:39 0 [Note] InnoDB: Using liburing", "info"),
        ("2026-11-20 23:04:39 0 [Warning] 'user' entry ignored", "warning"),
        ("2026-11-20T23:04:39.123456Z 0 [System] [MY-010116] [Server] starting", "info"),
        ("7:M 20 Nov 2026 23:04:39.123 * Ready to accept connections", "info"),
        ("7:M 20 Nov 2026 23:04:39.123 # WARNING overcommit", "warning"),
        ("Nov 20, 2026 11:04:39 PM com.x.Server start", "info"),
        ("SEVERE: it broke", "error"),
        ("2026-11-20 23:04:39.123  INFO 7 --- [main] c.e.App : Started", "info"),
        ("[2026-11-20 23:04:39,123: INFO/MainProcess] celery@host ready.", "info"),
        ("[2026-11-20 23:04:39,123: ERROR/ForkPoolWorker-1] Task x raised", "error"),
        ("[2026-11-20 23:04:39,123] [PID 7] [MainThread] [dramatiq.MainProcess] [INFO] booting", "info"),
        ("[I 2026-11-20 23:04:39.123 ServerApp] Serving notebooks", "info"),
        ("[31184] 2026/11/20 23:04:39.753011 [INF] Starting nats-server", "info"),
        ("[31184] 2026/11/20 23:04:39.753011 [ERR] Error listening on port", "error"),
        ("[23:04:39 WRN] Serilog's console", "warning"),
        ("[0] node app.js exited with code SIGTERM", "D"),
        ("[1] listening", "D"),
        ("(3) of these", "D"),
        ("<3>text", "error"),
        ("<i> [webpack-dev-server] Project is running at:", "info"),
        ("<w> [webpack-dev-middleware] text", "warning"),
        ("<e> [webpack-dev-server] Error: x", "error"),
        ("<i> italic </i>", "D"),
        ("<b> [bold]", "D"),
        ("rows[3]: 5 errors", "D"),
        ("rows[3]: error_count: 5", "D"),
        ("Array[3]: info: x", "D"),
        ("2026-11-20 23:04:39 | I | a table", "D"),
        ("2026-11-20 23:04:39 IN | text", "D"),
        ("CATALOG5[ui]: text", "D"),
        ("[1795215879] unbound[7:0] info: start of service (unbound 1.17.1).", "info"),
        ("[1795215879] unbound[7:0] fatal error: could not open ports", "fatal"),
        ("Nov 20 23:04:39 unbound[7:0] notice: init module 0: validator", "info"),
        ("Nov 20 23:04:39 mail postfix/smtpd[77]: warning: hostname x does not resolve", "warning"),
        ("dnsmasq[7]: warning: interface eth9 does not currently exist", "warning"),
        ("sshd[7]: error: kex_exchange_identification: read", "error"),
        ("2026.11.20 23:04:39 LOG5[ui]: stunnel 5.68 on x86_64-pc-linux-gnu platform", "info"),
        ("2026.11.20 23:04:39 LOG3[0]: SSL_accept: error", "error"),
        ("LOG4[main]: INSECURE FILE PERMISSIONS ON x.pem", "warning"),
        ("2026-11-20 23:04:39.123456 I | etcdmain: etcd Version: 3.4.23", "info"),
        ("2026-11-20 23:04:39.123456 N | embed: serving insecure client requests", "info"),
        ("2026-11-20 23:04:39.123456 C | etcdmain: cannot listen", "fatal"),
        ("2026-11-20T23:04:39Z INF zerolog's console", "info"),
        ("2026-11-20T23:04:39Z FTL no config", "fatal"),
        ("I, [2026-11-20T23:04:39.112122 #27730]  INFO -- : listening on addr=0.0.0.0:80 fd=7", "info"),
        ("E, [2026-11-20T23:04:39.112122 #27730] ERROR -- unicorn: reaped", "error"),
        ("[E 261120 23:04:39 web:2348] 500 GET /", "error"),
        ("[2026-11-20 23:04:39,123] host/INFO/locust.main: Starting", "info"),
        ("2026-11-20T23:04:39.123Z error: boom", "error"),
        ("2026-11-20 23:04:39 info: listening", "info"),
        ("2026-11-20 23:04:39,123 CRITICAL Listen failure", "fatal"),
        ("2026-11-20 23:04:39,123 ERROR    Exception inside", "error"),
        ("2026/11/20 23:04:39 INFO ready n=1", "info"),
        ("2026-11-20  2:33:37 0 [Note] InnoDB: x", "info"),
        ("Traceback (most recent call last):", "error"),
        ("KeyError: 1", "error"),
        ("java.lang.IllegalStateException: x", "error"),
        ("/app/x.py:893: SecurityWarning: x", "warning"),
        ("2026-11-20 23:04:39 [scheduler] ERROR x", "error"),
    ],
)
def test_a_line_tells_its_level_by_its_beginning(line: str, level: str | None) -> None:
    """Common prefixes are understood, prose is left alone."""
    assert levels.of_lines(line.encode() + b"\n", "D") == (level or "D")


def test_lines_of_many_levels_each_have_their_own() -> None:
    """One chunk may hold them all; lines that tell none have the stream's."""
    text = b"plain\nINFO: a\nplain\nplain\nWARN b\nWARN c\nERROR: d\nplain\n<7>e\n"
    assert levels.of_lines(text, "D") == [
        *("D", "info", "D", "D", "warning", "warning", "error", "D", "debug"),
    ]
    found = records(text)
    assert [r["message"] for r in found] == text.decode().splitlines()
    assert [r["level"] for r in found][3:6] == ["info", "warning", "warning"]


@pytest.mark.parametrize("secrets", [1, 30])
def test_stars_that_redaction_leaves_hide_no_mark(secrets: int) -> None:
    """uwsgi's is three stars as well, and the beginning of a line."""
    hidden = b"password=*** or ****\n*** or\n ***\n" * secrets
    starts = b"*** Starting uWSGI 2.0.28 (64bit) ***\n"
    assert levels.of_lines(hidden, "D") == ["D", "info", "D"] * secrets
    hidden = hidden.replace(b"\n***", b"\n:***")
    assert levels.of_lines(hidden, "D") == "D"
    assert levels.of_lines(starts + hidden, "D") == ["info", *["D"] * 3 * secrets]
    assert levels.of_lines(hidden + starts, "D") == [*["D"] * 3 * secrets, "info"]


MIXED = st.lists(
    st.sampled_from(
        [
            *['{"level":"error","msg":"an object"}'] * 4,
            *('{"level":"info","password":***', '{"password":***,"n":1}', '{"n": 1} '),
            *("plain", "ERROR: text", "", "{}", '{"n":2}{', "[1]", '{"level":30,"msg":"pino"}'),
            *('{"long":"' + "x" * 800 + '"}', "y" * 1500),
        ]
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lines=MIXED, first=st.booleans())
def test_objects_among_other_lines_become_what_they_are_alone(lines: list[str], *, first: bool) -> None:
    """Whatever stands beside them, and in their order."""
    lines = ['{"level":"error","msg":"an object"}', *lines] if first else lines
    together = records("".join(f"{line}\n" for line in lines).encode(), app(max_line=1024))
    alone = [record for line in lines for record in records(f"{line}\n".encode(), app(max_line=1024))]
    assert together == alone


def test_lines_of_the_same_level_need_no_look_at_each() -> None:
    """What most chunks are: one level for all of their lines."""
    assert levels.of_lines(b"one\ntwo\n", "D") == "D"
    assert levels.of_lines(b"INFO: a\nINFO: b\n", "D") == "info"


@pytest.mark.parametrize("limit", [1024, 16 * 1024])
def test_a_long_line_is_split_into_partial_records_within_the_limit(limit: int) -> None:
    """No record is longer than max_line, and the pieces make the line again."""
    line = 'é😀"\\\t\x01' * 3_000 + "end"
    lines = out(line.encode() + b"\nshort\n", app(max_line=limit)).splitlines(keepends=True)
    assert max(len(record) for record in lines) <= limit
    *pieces, last, short = map(json.loads, lines)
    assert "".join(r["message"] for r in [*pieces, last]) == line
    assert all(r["partial"] is True for r in pieces)
    assert "partial" not in last
    assert short["message"] == "short"
