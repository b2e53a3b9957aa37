"""The dashboard in a real browser, and the policy it is served with."""

import os
import re
from pathlib import Path

import pytest
from control.browser import CHROMIUM, browser
from control.operated import SLEEPER, Operated, forwarded, operated
from harness import PYTHON, eventually

TALKER = f"""
[[apps]]
name = "talker-with-a-name-that-is-longer-than-a-phone-is-wide"
script = "{PYTHON}"
args = ["-u", "-c", "import time\\nfor i in range(999): print('<img src=x onerror=x()>', i); time.sleep(.1)"]
ready_delay = 0
"""


def test_the_page_needs_nothing_from_elsewhere(sleeping: Operated) -> None:
    """A strict policy without unsafe-inline, and no address outside of the page."""
    reply = sleeping.ask("/", tcp=True)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    addresses = set(re.findall(rb"(?:https?:)?//[\w.]+\.\w+", reply.body))
    # The name of SVG's namespace, and where uPlot's own first line says it comes from: nobody loads them.
    assert addresses == {b"http://www.w3.org", b"https://github.com"}


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (375, True)], ids=["light", "phone"])
def test_the_dashboard_shows_and_acts(tmp_path: Path, width: int, *, dark: bool) -> None:
    """Tiles, charts and the log are live; the filter works by keyboard; with the token buttons act."""
    (tmp_path / "token").write_text("the-token")
    with (
        operated(tmp_path, SLEEPER + TALKER, "--admin-token-file", str(tmp_path / "token")) as it,
        browser() as page,
    ):
        page.open(f"http://127.0.0.1:{it.port}/", width=width, height=1000, dark=dark)
        page.until("document.querySelectorAll('.tile').length === 2")
        page.until("document.getElementById('whole').textContent === 'ready'")
        page.until("document.querySelectorAll('.chart canvas').length === 4")
        page.until("document.getElementById('log').textContent.includes('<img')")
        assert page.run("document.querySelectorAll('#log img').length") == 0
        assert page.run("document.documentElement.scrollWidth") <= width  # a phone would zoom out
        assert page.run("[...document.querySelectorAll('.wide')].every(e => e.scrollWidth <= e.clientWidth)")
        assert page.run("document.querySelector('.actions').hidden")
        page.press("/")
        assert page.run("document.activeElement.id") == "filter"
        for key in "nothing like it":
            page.press(key)
        page.until("document.getElementById('log').textContent === ''")
        page.press("Escape")
        page.run("token.value = 'a-wrong-one'; token.oninput()")
        page.until("document.getElementById('said').textContent === 'this token is not the right one'")
        page.run("token.value = 'the-token'; token.oninput()")
        page.until("!document.querySelector('.actions').hidden")
        page.run("[...document.querySelectorAll('button')].find(b => b.ariaLabel === 'scale up api').click()")
        eventually(lambda: it.app("api")["scale"] == 3, "the button to act")
        page.until("document.querySelector('.tile tbody').rows.length === 3")
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(Path(folder) / f"dashboard-{width}.png")
        assert not page.complaints


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "dark"), [(1200, True), (375, False)], ids=["dark", "phone"])
def test_on_the_unix_sockets_side_it_acts_without_a_token(tmp_path: Path, width: int, *, dark: bool) -> None:
    """Every button does what it says, and what is refused is told."""
    with operated(tmp_path, SLEEPER + TALKER) as it, forwarded(it.socket) as port, browser() as page:
        page.open(f"http://127.0.0.1:{port}/", width=width, height=1000, dark=dark)
        page.until("document.querySelectorAll('.tile').length === 2")
        page.until("!document.querySelector('.actions').hidden")
        assert page.run("document.getElementById('form').hidden")
        assert page.run("document.documentElement.scrollWidth") <= width  # a phone would zoom out
        assert page.run("[...document.querySelectorAll('.wide')].every(e => e.scrollWidth <= e.clientWidth)")
        before = [instance["pid"] for instance in it.app("api")["instances"]]

        def click(label: str) -> None:
            button = f"[...document.querySelectorAll('button')].find(b => b.ariaLabel === '{label}')"
            page.until(f"{button} && !{button}.disabled")
            page.run(f"{button}.click()")

        def click_twice(label: str) -> None:
            """What takes something away asks."""
            click(label)
            click(f"{label.rpartition(' ')[0]}: sure? press again: {label.rpartition(' ')[2]}")

        page.until("[...document.querySelectorAll('button')].find(b => b.ariaLabel === 'start api').disabled")
        click_twice("restart api")
        eventually(lambda: not {i["pid"] for i in it.app("api")["instances"]} & {*before, None})
        click("scale up api")
        eventually(lambda: it.app("api")["scale"] == 3)
        click("reload api")
        eventually(lambda: (it.app("api")["reload"] or {}).get("state") == "done")
        click("stop api")
        assert it.states("api") == ["online"] * 3
        click("stop: sure? press again: api")
        eventually(lambda: it.states("api") == ["stopped"] * 3)
        page.until("document.querySelector('.tile .state').textContent === 'stopped'")
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(Path(folder) / f"dashboard-unix-{width}.png")
        click("start api")
        eventually(lambda: it.states("api") == ["online"] * 3)
        page.until("document.getElementById('said').textContent === 'start api'")
        it.run.expect(event="control.request", action="stop")
        assert not page.complaints


BROKEN = """
[[apps]]
name = "worker"
script = "/bin/sh"
args = ["-c", "echo 'cannot reach the database at db:5432' >&2; exit 3"]
max_restarts = 2
restart_delay = 50
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [375, 1200, 2560])
def test_the_banner_names_the_broken_app_and_its_cause(tmp_path: Path, width: int) -> None:
    """Name, state, exit code, last words and what to do; it stands first, and the search finds it."""
    with operated(tmp_path, SLEEPER + BROKEN, ready=False) as it, browser() as page:
        eventually(lambda: it.states("worker") == ["errored"], "it to give up")
        page.open(f"http://127.0.0.1:{it.port}/", width=width, height=900)
        page.until("document.getElementById('banner').textContent.includes('cannot reach the database')")
        text = page.run("document.getElementById('banner').textContent")
        assert re.search(
            "Not ready.*worker errored.*gave up.*code 3: cannot reach.*To do: .*pidone start worker:", text
        ), text
        assert page.run("document.querySelector('.tile h3').textContent") == "worker"
        assert page.run("document.documentElement.scrollWidth") <= width
        page.run("search.value = 'errored'; search.oninput()")
        page.until("document.getElementById('count').textContent === '1 of 2 apps'")
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(Path(folder) / f"dashboard-broken-{width}.png")
        assert not page.complaints


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_page_of_another_site_cannot_use_a_forwarded_socket(tmp_path: Path) -> None:
    """Whatever a browser can be made to send there without asking first is refused."""
    with operated(tmp_path) as it, forwarded(it.socket) as port, browser() as page:
        page.open(f"http://127.0.0.1:{it.port}/livez", width=800, height=600)
        page.until("location.pathname === '/livez'")
        page.run(
            f"window.done = ''; fetch('http://127.0.0.1:{port}/api/apps/all/stop', {{method: 'POST', "
            "mode: 'no-cors'}).then(r => window.done = r.type)"
        )
        page.until("window.done === 'opaque'")
        assert it.states("api") == ["online", "online"]
        assert not it.run.find(event="control.request")
