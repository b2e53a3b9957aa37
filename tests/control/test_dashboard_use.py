"""The dashboard as it is used: by keyboard, with 200 apps, with an hour behind it."""

import colorsys
import os
import re
import signal
from pathlib import Path

import npm
import pytest
from control.browser import CHROMIUM, Browser, browser
from control.operated import SLEEPER, forwarded, operated
from harness import PYTHON, eventually
from harness import pidone as started

import pidone.control.dashboard.page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

FOLDER = Path(pidone.control.dashboard.page.__file__).parent
BROKEN = """
[[apps]]
name = "worker"
script = "/bin/sh"
args = ["-c", "echo 'cannot reach the database at db:5432' >&2; exit 3"]
max_restarts = 2
restart_delay = 50
"""
SPEAKER = f"""
[[apps]]
name = "speaker"
script = "{PYTHON}"
args = ["-u", "{{folder}}/speaker.py"]
ready_delay = 0
"""
SPEAKER_SOURCE = r"""
import json, time
print("\x1b[31;1mred alert\x1b[0m and calm \x1b]0;a title\x07\x1b[2Jtail")
print("\x1b]8;;http://evil.example\x1b\\a link\x1b]8;;\x1b\\ <b>not bold</b>")
print(json.dumps({"level": "warn", "msg": "disk is nearly full", "free_mb": 12, "path": "/data"}))
print(json.dumps({"level": "error", "msg": "payment failed", "order": {"id": 7}}))
n = 0
while True:
    n += 1
    print(json.dumps({"level": "debug", "msg": f"tick {n}"}))
    time.sleep(0.1)
"""
HOUR = """
const real = window.fetch;
window.asked = 0;
window.fetch = async (path, ...more) => {
  if (!String(path).startsWith("/api/history")) return real(path, ...more);
  window.asked++;
  const wave = scale => Array.from({ length: 120 }, (_, i) => Math.round(scale * (2 + Math.sin(i / 9))));
  const now = Date.now() / 1000, apps = await (await real("/api/apps")).json();
  return new Response(JSON.stringify({ step_s: 30, until: now, omitted: 0,
    apps: apps.apps.map(({ name, namespace }) =>
      ({ name, namespace, cpu_percent: wave(30), memory_bytes: wave(4e7) })),
    container: {}, marks: [{ at: now - 1800, kind: "deployment", app: "api", namespace: "default",
      instance: null, text: "replacing 2 instances", count: 1 }] }));
};
"""


def open_all(page: Browser, port: int, *, apps: int, width: int = 1200, dark: bool = False) -> None:
    """The page, once it shows every app."""
    page.open(f"http://127.0.0.1:{port}/", width=width, height=900, dark=dark)
    page.until(f"document.getElementById('count').textContent === '{apps} apps'")


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG 2.1, "contrast ratio", of two colours with parts from 0 to 1."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_app_s_colour_can_be_read(theme: str) -> None:
    """The hue comes from the name, so all of them have to do, on the tile and on the page."""
    style = (FOLDER / "style.css").read_text()
    light, _, dark = style.partition("prefers-color-scheme: dark")
    own = dark if theme == "dark" else light
    saturation = int(re.findall(r"hsl\(var\(--hue\) (\d+)% var\(--ink\)\)", style)[0]) / 100
    lightness = int(re.findall(r"--ink: (\d+)%", own)[0]) / 100
    for name in ("tile", "back"):
        digits = re.findall(rf"--{name}: #([0-9a-f]+)", own)[0]
        digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
        behind = tuple(int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
        for hue in range(360):
            assert contrast(colorsys.hls_to_rgb(hue / 360, lightness, saturation), behind) >= 4.5, (name, hue)


def test_axe_finds_nothing(tmp_path: Path) -> None:
    """With everything open that can be: banner, charts, buttons, events, levels and fields of the log.

    Light and dark, and on a phone.
    """
    source = npm.modules("axe-core-4", "axe-core@4.14.1") / "axe-core" / "axe.min.js"
    (tmp_path / "speaker.py").write_text(SPEAKER_SOURCE)
    ecosystem = SLEEPER + BROKEN + SPEAKER.format(folder=tmp_path)
    with (
        operated(tmp_path, ecosystem, ready=False) as it,
        forwarded(it.socket) as port,
        browser() as page,
    ):
        it.run.expect(event="instance.errored")
        for width, dark in ((1200, False), (1200, True), (375, False)):
            open_all(page, port, apps=3, width=width, dark=dark)
            page.until("document.getElementById('banner').textContent.includes('gave up')")
            page.until("document.querySelectorAll('#events li').length > 3")
            page.until("document.querySelectorAll('#log details').length > 3")
            page.until("document.querySelectorAll('.actions:not([hidden]) button').length > 0")
            page.run("document.querySelector('#log details').open = true")
            page.run(source.read_text())
            page.run(
                "axe.run().then(r => { window.found = JSON.stringify(r.violations.map("
                "v => [v.id, v.nodes.slice(0, 3).map(n => n.html + n.failureSummary)])); })"
            )
            assert page.until("window.found") == "[]", (width, dark)
            assert not page.complaints


def test_everything_can_be_done_by_keyboard(tmp_path: Path) -> None:
    """Fold and unfold, read a chart, act and confirm, search: with Tab, Enter and arrows."""

    def reach(page: Browser, script: str) -> None:
        for _ in range(120):
            if page.run(f"(e => {script})(document.activeElement)"):
                return
            page.press("Tab")
        raise AssertionError(script)

    with operated(tmp_path) as it, forwarded(it.socket) as port, browser() as page:
        page.open(f"http://127.0.0.1:{port}/", width=1200, height=900, before=HOUR)
        page.until("document.querySelectorAll('.chart canvas').length === 2")
        page.run("document.body.focus()")
        reach(page, "e.textContent === 'api'")
        assert page.run("document.activeElement.getAttribute('aria-expanded')") == "true"
        page.press("Enter")
        page.until("document.activeElement.getAttribute('aria-expanded') === 'false'")
        assert page.run("document.querySelectorAll('.chart').length") == 0
        page.press("Enter")
        page.until("document.querySelectorAll('.chart canvas').length === 2")
        reach(page, "e.className === 'chart'")
        page.press("ArrowLeft")
        page.until("/%/.test(document.activeElement.querySelector('.tip:not([hidden])')?.textContent)")
        reach(page, "e.ariaLabel === 'scale up api'")
        page.press("Enter")
        eventually(lambda: it.app("api")["scale"] == 3, "the button to act")
        reach(page, "e.ariaLabel === 'scale down api'")
        page.press("Enter")
        page.until("document.activeElement.textContent === 'scale down: sure?'")
        assert it.app("api")["scale"] == 3
        page.press("Enter")
        eventually(lambda: it.app("api")["scale"] == 2, "the second press to act")
        page.press("/")
        assert page.run("document.activeElement.id") == "filter"
        assert not page.complaints


@pytest.mark.parametrize(("apps", "widths"), [(1, [375]), (200, [375, 2560])])
def test_it_is_made_for_one_to_two_hundred_apps(tmp_path: Path, apps: int, widths: list[int]) -> None:
    """What is broken comes first; many are a line each; nothing is wider than the screen."""
    broken = BROKEN if apps > 1 else ""
    rest = "".join(
        f'[[apps]]\nname = "app-{n}"\nscript = "/bin/sleep"\nautostart = false\n' for n in range(apps - 2)
    )
    with operated(tmp_path, rest + SLEEPER + broken, ready=False) as it, browser() as page:
        if broken:
            it.run.expect(event="instance.errored")
        for width in widths:
            open_all(page, it.port, apps=apps, width=width)
            look_at(page, apps, width)


def look_at(page: Browser, apps: int, width: int) -> None:
    """Fold, unfold and search; with more than one app one is broken."""
    if apps > 1:
        page.until("document.getElementById('banner').textContent.includes('cannot reach')")
        assert page.run("document.querySelector('.tile h3').textContent") == "worker"
    assert page.run("document.documentElement.scrollWidth") <= width
    opened = "[...document.querySelectorAll('.tile .body')].filter(e => !e.hidden).length"
    page.until(f"{opened} === 1")
    line = "Math.max(...[...document.querySelectorAll('.tile')].slice(1).map(e => e.offsetHeight), 0)"
    assert page.run(line) < (120 if width < 600 else 60)
    page.run("look.value = 'tiles'; look.onchange()")
    assert page.run("document.documentElement.scrollWidth") <= width
    page.run("look.value = 'list'; look.onchange(); fold.textContent = 'unfold all'; fold.onclick()")
    assert page.run(opened) == apps
    page.until("document.querySelectorAll('.chart').length > 0")
    # Those in view, and not two for each of two hundred.
    assert page.run("document.querySelectorAll('.chart').length") <= 60
    page.run("search.value = 'errored'; search.oninput()")
    expected = f"1 of {apps} apps" if apps > 1 else "0 of 1 apps"
    page.until(f"document.getElementById('count').textContent === '{expected}'")
    assert not page.complaints


def test_charts_are_full_when_the_page_is_opened(tmp_path: Path) -> None:
    """CPU and memory apart, with the hour before, axes, a mark and its text, and the limit as a line."""
    limited = SLEEPER + 'max_memory_restart = "64M"\n'
    with operated(tmp_path, limited) as it, browser() as page:
        page.open(f"http://127.0.0.1:{it.port}/", width=1200, height=900, before=HOUR)
        page.until("document.querySelectorAll('.chart canvas').length === 2")
        page.until("dataOf('default/api', 'cpu')[0].length >= 120")
        assert page.run("window.asked") == 1
        texts = page.run("[...document.querySelectorAll('.chart > p')].map(p => p.textContent)")
        assert texts[0].startswith("CPU: ")
        assert "at most 90%" in texts[0]
        assert texts[1].startswith("memory: ")
        assert "limit 128.0 M" in texts[1]
        found = page.run(
            "(() => { const c = document.querySelector('.chart'); c.focus(); const u = 61; let t = '';"
            "for (let i = 0; i < 130 && !t.includes('deployment'); i++) {"
            "c.onkeydown({key: 'ArrowLeft', preventDefault() {}}); t = c.querySelector('.tip').textContent; }"
            "return t; })()"
        )
        assert "deployment: replacing 2 instances" in found
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(Path(folder) / "dashboard-hour.png")
        assert not page.complaints


def test_the_log_is_rendered_and_harmless(tmp_path: Path) -> None:
    """Colours, levels and fields; escapes do nothing; scrolled up it pauses; it can be saved."""
    (tmp_path / "speaker.py").write_text(SPEAKER_SOURCE)
    with operated(tmp_path, SPEAKER.format(folder=tmp_path)) as it, browser() as page:
        open_all(page, it.port, apps=1)
        page.until("document.getElementById('log').textContent.includes('tick 30')")
        text = page.run("document.getElementById('log').textContent")
        assert "red alert and calm tail" in text
        assert "a link <b>not bold</b>" in text
        assert "\x1b" not in text
        assert page.run("document.querySelectorAll('#log b, #log a').length") == 0
        assert page.run("document.querySelector('#log .f1.b1').textContent") == "red alert"
        fields = page.run("[...document.querySelectorAll('#log .fields')].map(e => e.textContent).join('|')")
        assert "free_mb: 12" in fields
        assert 'order: {"id":7}' in fields
        page.run("level.value = '2'; level.oninput()")
        page.until("document.querySelectorAll('#log .row').length === 2")
        page.run("level.value = '0'; level.oninput(); lifecycle.checked = false; lifecycle.oninput()")
        assert page.run("document.querySelectorAll('#log .row.event').length") == 0
        page.until("document.getElementById('log').scrollHeight > 700")
        page.run("document.getElementById('log').scrollTop = 10")
        page.until("!document.getElementById('tail').checked")
        page.until("/^[0-9]+ new lines/.test(document.getElementById('more').textContent)")
        assert page.run("document.getElementById('log').scrollTop") == 10
        page.run("document.getElementById('more').click()")
        page.until("document.getElementById('tail').checked && document.getElementById('more').hidden")
        page.run(
            "URL.createObjectURL = blob => { blob.text().then(t => { window.saved = t; }); return '#'; }"
        )
        page.run("download.click()")
        assert '"payment failed"' in page.until("window.saved")
        assert not page.complaints


ODD = rf"""
[[apps]]
name = "{"n" * 200}"
script = "/bin/sh"
args = ["-c", "printf 'cannot reach \\342\\200\\256db\\033[31m here\\n' >&2; exit 3"]
max_restarts = 1
restart_delay = 50
[[apps]]
name = "日本語"
script = "/bin/sh"
args = ["-c", "head -c 9000 /dev/zero | tr '\\0' y; echo; exec sleep 1000"]
ready_delay = 0
"""


def test_what_is_odd_keeps_its_place(tmp_path: Path) -> None:
    """Long names and lines do not fill the page, and nothing turns what stands around it."""
    with operated(tmp_path, ODD, ready=False) as it, browser() as page:
        eventually(lambda: it.states("n" * 200) == ["errored"], "it to give up")
        for width in (375, 2560):
            open_all(page, it.port, apps=2, width=width)
            page.until("document.getElementById('log').textContent.includes('(9000 characters)')")
            page.until("document.getElementById('banner').textContent.includes('cannot reach db here')")
            assert "\u202e" not in page.run("document.body.textContent")
            assert page.run("document.documentElement.scrollWidth") <= width
            assert page.run(
                "[...document.querySelectorAll('#log .fields')].some(e => e.textContent.length > 9000)"
            )
            assert (
                page.run("Math.max(...[...document.querySelectorAll('#log .who')].map(e => e.offsetHeight))")
                < 40
            )
            page.run("fold.onclick()")
            assert page.run("document.querySelector('.tile h3').offsetHeight") < 80
            assert not page.complaints


def test_it_says_when_nobody_answers(tmp_path: Path) -> None:
    """A runtime that hangs is asked once; one that has ended is told of; the next one is shown."""
    with operated(tmp_path) as it, browser() as page:
        state = "document.getElementById('whole').textContent"
        counted = "let asked = 0; const real = fetch; window.fetch = (...all) => (asked++, real(...all))"
        page.open(f"http://127.0.0.1:{it.port}/", width=1200, height=900, before=counted)
        page.until(f"{state} === 'ready'")
        it.run.signal(signal.SIGSTOP)
        try:
            page.until(f"/^no answer for [0-9]+ s$/.test({state})")
            asked = page.run("asked")
            page.until(f"Number({state}.match(/[0-9]+/)[0]) >= 8")
            assert page.run("asked") == asked
        finally:
            it.run.signal(signal.SIGCONT)
        page.until(f"{state} === 'ready'")
        it.run.signal(signal.SIGTERM)
        it.run.wait()
        page.until(f"{state}.startsWith('no answer: ')")
        words = ("start", "--socket", it.socket, "--admin", f"127.0.0.1:{it.port}")
        with started(*words, str(tmp_path / "ecosystem.toml")) as second:
            page.until(f"{state} === 'ready'")
            second.signal(signal.SIGTERM)
            second.wait()


def test_the_timeline_tells_reasons_and_can_be_filtered(tmp_path: Path) -> None:
    """What matters, the latest first; problems only; by a word."""
    with operated(tmp_path, SLEEPER + BROKEN, ready=False) as it, browser() as page:
        it.run.expect(event="instance.errored")
        open_all(page, it.port, apps=2)
        page.until("document.getElementById('events').textContent.includes('instance.errored')")
        shown = "[...document.querySelectorAll('#events li')].map(e => e.textContent)"
        assert any("worker.0 instance.exit: ended with code 3" in each for each in page.run(shown))
        assert any("(exit)" in each for each in page.run(shown))
        page.run("kinds.value = 'bad'; kinds.oninput()")
        assert all("worker" in each for each in page.run(shown))
        page.run("document.getElementById('kinds').value = ''; kinds.oninput()")
        assert any("control.listening" in each for each in page.run(shown))
        page.run("document.getElementById('events-filter').value = 'gave up'; kinds.oninput()")
        assert len(page.run(shown)) == 1
        it.ask("/api/apps/api/restart", "POST")
        page.run("document.getElementById('events-filter').value = 'restart asked'; kinds.oninput()")
        page.until(f"{shown}.length === 1")
        assert not page.complaints


def test_uplot_is_as_its_makers_gave_it() -> None:
    """Byte by byte npm's, with the licence beside it."""
    package = npm.modules("uplot-1", "uplot@1.6.32") / "uplot"
    assert (FOLDER / "uplot.js").read_bytes() == (package / "dist/uPlot.iife.min.js").read_bytes()
    assert (FOLDER / "uplot.css").read_bytes() == (package / "dist/uPlot.min.css").read_bytes()
    assert (FOLDER / "uplot.LICENSE").read_bytes() == (package / "LICENSE").read_bytes()
