"""The static file server, from outside."""

import base64
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from harness import DEADLINE_S, PYTHON, Running, eventually

from pidone.interpreter import module_argv


class Site:
    """A running server."""

    def __init__(self, running: Running, port: int) -> None:
        self.running = running
        self.port = port

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
        """One request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response, body

    def status(self, path: str, **headers: str) -> int:
        """Only its code."""
        return self.get(path, **headers)[0].status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site, with things beside and in it that are nobody's business."""
    root = tmp_path / "site"
    for path, text in {
        "index.html": "home",
        "app.js": "js",
        "font.woff2": "woff",
        "docs/index.html": "docs",
        "files/b.txt": "b",
        "files/ü <x>.txt": "u",
        ".env": "PASSWORD=1",
        "files/.git/config": "git",
        ".well-known/security.txt": "contact",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (tmp_path / "secret.txt").write_text("secret")
    return root


SERVER = module_argv("pidone.fileserver")


@contextmanager
def served(folder: Path, argv: Sequence[str] = SERVER, **variables: str) -> Iterator[Site]:
    """A server of `folder` on a port that it tells itself."""
    env = {f"PM2_SERVE_{name}": value for name, value in variables.items()}
    listening = socket.create_server(("127.0.0.1", 0))
    # As the runtime does it: the socket at number 3, and the pid of the final process in LISTEN_PID.
    script = 'eval "exec 3<&$FD $FD<&-"; export LISTEN_PID=$$; exec "$@"'
    with Running(
        ["bash", "-c", script, "-", *argv],
        env={"PM2_SERVE_PATH": str(folder), "LISTEN_FDS": "1", "FD": str(listening.fileno()), **env},
        pass_fds=[listening.fileno()],
    ) as running:
        port = listening.getsockname()[1]
        listening.close()
        running.expect_line("Exposing")
        yield Site(running, port)


def test_files_come_with_their_type_and_folders_with_their_index(folder: Path) -> None:
    """And anybody's page may read them, as with PM2."""
    with served(folder) as site:
        response, body = site.get("/app.js?v=1")
        assert (response.status, body) == (200, "js")
        assert response.headers["Content-Type"] == "text/javascript"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert site.get("/font.woff2")[0].headers["Content-Type"] == "font/woff2"
        assert [site.get(path)[1] for path in ("/", "/docs/", "/.well-known/security.txt")] == [
            "home",
            "docs",
            "contact",
        ]
        assert site.get("/docs")[0].headers["Location"] == "/docs/"
        response, body = site.get("/app.js", method="HEAD")
        assert (response.headers["Content-Length"], body) == ("2", "")


@pytest.mark.parametrize(
    ("wanted", "code", "body", "told"),
    [
        ("bytes=0-1", 206, "01", "bytes 0-1/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-4", 206, "6789", "bytes 6-9/10"),
        ("bytes=-40", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=8-99999", 206, "89", "bytes 8-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=-0", 416, "", "bytes */10"),
        ("bytes=3-2", 200, "0123456789", None),
        ("bytes=0-1,4-5", 200, "0123456789", None),
        ("bytes=-", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
        ("bytes=" + "9" * 30 + "-", 200, "0123456789", None),
    ],
)
def test_a_part_of_a_file(folder: Path, wanted: str, code: int, body: str, told: str | None) -> None:
    """Players of videos ask for them; what is not one range of bytes gets the whole."""
    (folder / "video.mp4").write_text("0123456789")
    with served(folder) as site:
        response, sent = site.get("/video.mp4", Range=wanted)
        assert (response.status, sent, response.headers["Content-Range"]) == (code, body, told)
        assert response.headers["Accept-Ranges"] == "bytes"
        if code == 206:
            assert response.headers["Content-Type"] == "video/mp4"


def test_links_lead_nowhere_outside(folder: Path) -> None:
    """Whoever may make one there, by an upload for instance, need not be able to read what the server can."""
    secret = folder.parent / "secret.txt"
    beside = folder.parent / "site-2"
    beside.mkdir()
    (beside / "index.html").write_text("beside")
    (folder / "out.txt").symlink_to(secret)
    (folder / "relative.txt").symlink_to("../secret.txt")
    (folder / "twice.txt").symlink_to("out.txt")
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("..")
    (folder / "beside").symlink_to("../site-2")
    (folder / "own").mkdir()
    (folder / "own" / "index.html").symlink_to(secret)
    (folder / "404.html").symlink_to(secret)
    (folder / "loop").symlink_to("loop")
    with served(folder, PM2_SERVE_FTP="true") as site:
        out = ("/out.txt", "/relative.txt", "/twice.txt", "/passwd", "/up/secret.txt", "/beside/", "/loop")
        for path in (*out, "/own/index.html", "/up/", "/nothing"):
            for headers in ({}, {"Range": "bytes=0-3"}):
                response, body = site.get(path, **headers)
                assert response.status == 404, path
                assert "secret" not in body.partition("Index of")[0]
        assert "secret" not in site.get("/own/")[1].partition("Index of")[0]


def test_links_within_the_folder_are_followed(folder: Path) -> None:
    """As deployments use them; the folder itself may be one, and lead elsewhere a moment later."""
    (folder / "alias.js").symlink_to("app.js")
    (folder / "absolute.js").symlink_to(folder / "app.js")
    (folder / "manual").symlink_to("docs")
    current = folder.parent / "current"
    current.symlink_to(folder)
    with served(current) as site:
        assert [site.get(path)[1] for path in ("/alias.js", "/absolute.js", "/manual/")] == [
            "js",
            "js",
            "docs",
        ]
        other = folder.parent / "next"
        other.mkdir()
        (other / "index.html").write_text("new home")
        current.unlink()
        current.symlink_to(other)
        assert site.get("/")[1] == "new home"
        assert site.status("/alias.js") == 404


def test_a_pipe_in_the_folder_is_not_waited_for(folder: Path) -> None:
    """What is no file is not there."""
    os.mkfifo(folder / "pipe")
    with served(folder) as site:
        assert site.status("/pipe") == 404


def test_a_part_of_what_has_changed_is_the_whole(folder: Path) -> None:
    """If-Range; and who has the file already is told so, whatever part is asked for."""
    with served(folder) as site:
        when = site.get("/app.js")[0].headers["Last-Modified"]
        assert site.get("/app.js", Range="bytes=1-", If_Range=when)[1] == "s"
        assert site.get("/app.js", Range="bytes=1-", If_Range='"tag"')[1] == "js"
        assert site.status("/app.js", Range="bytes=1-", If_Modified_Since=when) == 304
        response, body = site.get("/app.js", method="HEAD", Range="bytes=1-")
        assert (response.status, response.headers["Content-Length"], body) == (200, "2", "")
        assert site.get("/", Range="bytes=0-1")[1] == "ho"
        assert site.status("/docs", Range="bytes=0-1") == 301
        assert site.get("/docs/", Range="bytes=0-1")[1] == "docs"


def test_what_has_not_changed_is_not_sent_again(folder: Path) -> None:
    """If-Modified-Since."""
    with served(folder) as site:
        when = site.get("/app.js")[0].headers["Last-Modified"]
        assert site.status("/app.js", If_Modified_Since=when) == 304


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/files/..%2f..%2fsecret.txt",
        "//etc/passwd",
        "/.env",
        "/files/.git/config",
        "/%2eenv",
        "/files/",
        "/a%00b",
        "/%ff",
        "/%ed%a0%80",
        "/" + "a" * 5000,
        "/app.js/",
    ],
)
def test_what_is_outside_hidden_or_nonsense_is_not_found(folder: Path, path: str) -> None:
    """Whatever way it is spelt; and folders are not listed unless that is asked for."""
    with served(folder) as site:
        response, body = site.get(path)
        assert response.status == 404
        assert "secret" not in body
        assert site.status("/app.js") == 200
        assert "Traceback" not in (site.running.err.text() if site.running.err else "")


def test_a_page_of_the_site_says_that_there_is_nothing(folder: Path) -> None:
    """404.html, still with the code 404."""
    (folder / "404.html").write_text("<b>gone</b>")
    with served(folder) as site:
        response, body = site.get("/nope")
        assert (response.status, body) == (404, "<b>gone</b>")


def test_a_single_page_app_shows_its_homepage_for_every_route(folder: Path) -> None:
    """Files that a deep page asks for beside itself are found at the root, as with PM2."""
    (folder / "main.html").write_text("main")
    with served(folder, SPA="true", HOMEPAGE="/main.html") as site:
        found = [site.get(path)[1] for path in ("/", "/users/7", "/users/app.js", "/files/", "/.env")]
        assert found == ["main", "main", "js", "main", "main"]
    with served(folder, SPA="true") as site:
        assert [site.get(path)[1] for path in ("/", "/users/7", "/docs/")] == ["home", "home", "docs"]


def test_folders_are_listed_on_request(folder: Path) -> None:
    """Names are text, not markup, and hidden ones do not appear."""
    with served(folder, FTP="true") as site:
        _, body = site.get("/files/")
        assert 'href="./b.txt"' in body
        assert 'href="./%C3%BC%20%3Cx%3E.txt">ü &lt;x&gt;.txt<' in body
        assert ".git" not in body
        assert site.get("/")[1] == "home"


def test_a_login_is_asked_for_and_checked(folder: Path) -> None:
    """Every byte of it, on every path; a wrong one learns nothing of what there is."""
    with served(folder, BASIC_AUTH="true", BASIC_AUTH_USERNAME="jö", BASIC_AUTH_PASSWORD="p:w") as site:

        def given(login: str) -> int:
            return site.status("/app.js", Authorization="Basic " + base64.b64encode(login.encode()).decode())

        assert given("jö:p:w") == 200
        assert {given(login) for login in ("jö:p:x", "jö:p:", "jö", "", "jö:p:w\n", "x:p:w")} == {401}
        assert {site.status(path) for path in ("/", "/nope", "/.env")} == {401}
        assert site.status("/", Authorization="Basic ###") == 401
        assert site.status("/", Authorization="Bearer anoeOnA6dw==") == 401
        assert site.get("/")[0].headers["WWW-Authenticate"].startswith("Basic realm=")
        assert "p:w" not in (site.running.err.text() if site.running.err else "")


def test_other_methods_are_refused(folder: Path) -> None:
    """It only gives."""
    with served(folder) as site:
        assert site.get("/app.js", method="DELETE")[0].status == 501
        assert (folder / "app.js").exists()


def test_what_is_missing_is_said_without_the_query(folder: Path) -> None:
    """Only the query may hold what is nobody's business."""
    with served(folder) as site:
        site.get("/nope?token=hunter2")
        assert site.running.err is not None
        eventually(lambda: "/nope" in site.running.err.text(), "the line")  # type: ignore[union-attr]
        assert "hunter2" not in site.running.err.text()


def test_a_stop_answers_what_was_asked_and_ends_idle_connections(folder: Path) -> None:
    """A client that has the head of a large file gets all of it."""
    size = 32 * 1024 * 1024
    with (folder / "large").open("wb") as file:
        file.truncate(size)
    with served(folder) as site:
        idle = HTTPConnection("127.0.0.1", site.port, timeout=10)
        idle.request("GET", "/app.js")
        idle.getresponse().read()
        busy = HTTPConnection("127.0.0.1", site.port, timeout=10)
        busy.request("GET", "/large")
        response = busy.getresponse()
        site.running.signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b""
        assert len(response.read()) == size
        assert site.running.wait() == 0
        for connection in (idle, busy):
            connection.close()


PATIENT = (PYTHON, "-I", "-c", f"""
import sys
from pidone.fileserver import __main__, server
server._LAST_REQUESTS_S = {DEADLINE_S}
sys.exit(__main__.main())
""")  # fmt: skip
"""With time for requests on their way from a busy machine; it ends as soon as they are answered."""


def test_a_stop_answers_requests_that_are_on_their_way(folder: Path) -> None:
    """Of a connection that has just begun, and of one that is kept alive: each gets a last answer."""
    with served(folder, PATIENT) as site:
        new, kept = (HTTPConnection("127.0.0.1", site.port, timeout=10) for _ in range(2))
        kept.request("GET", "/app.js")
        kept.getresponse().read()
        new.connect()
        site.status("/app.js")  # both are accepted before this one
        site.running.signal(signal.SIGTERM)
        eventually(lambda: refused(site.port), "nobody to accept")
        for connection in (new, kept):
            connection.request("GET", "/app.js")
            response = connection.getresponse()
            assert (response.status, response.getheader("Connection")) == (200, "close")
            connection.close()
        assert site.running.wait() == 0


def refused(port: int) -> bool:
    """Whether nobody listens."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_it_tells_when_it_is_ready_and_opens_its_own_socket_if_it_is_given_none(
    folder: Path, tmp_path: Path
) -> None:
    """sd_notify, as for any service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(20)
        env = {"PM2_SERVE_PATH": str(folder), "PM2_SERVE_HOST": "127.0.0.1", "PM2_SERVE_PORT": "0"}
        env["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        with Running(SERVER, env=env) as running:
            assert channel.recv(100) == b"READY=1"
            port = int(running.expect_line("Exposing").rpartition(":")[2])
            assert Site(running, port).get("/")[1] == "home"
            running.signal(signal.SIGINT)
            assert running.wait() == 0


def test_clients_that_go_away_or_say_nothing_do_no_harm(folder: Path) -> None:
    """Resets, silence and garbage: no traceback, and others are served."""
    with served(folder) as site:
        for said in (
            b"",
            b"GET",
            b"\x16\x03\x01\x00\xff garbage\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: " + b"a" * 99999,
        ):
            rude = socket.create_connection(("127.0.0.1", site.port))
            rude.send(said)
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset on close
            rude.close()
        assert site.status("/app.js") == 200
        site.running.signal(signal.SIGTERM)
        assert site.running.wait() == 0
        assert "Traceback" not in (site.running.err.text() if site.running.err else "")
