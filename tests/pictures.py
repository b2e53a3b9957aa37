"""Pictures of monit and of the dashboard, of a system in which an app is broken: `make screenshots`."""

import os
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Final

from cli.terminal import Terminal, monit
from control.browser import browser
from control.operated import operated
from harness import PYTHON, eventually

_LINE: Final = "json.dumps({'level': 'info', 'msg': 'GET /orders', 'ms': 12})"
_LOOP: Final = f"import time, json\\nwhile 1: print({_LINE}); time.sleep(.5)"
SYSTEM: Final = f"""
[[apps]]
name = "api"
script = "{PYTHON}"
args = ["-u", "-c", "{_LOOP}"]
instances = 3
max_memory_restart = "128M"
ready_delay = 0

[[apps]]
name = "worker"
script = "/bin/sh"
args = ["-c", "echo 'FATAL: cannot connect to postgres://db:5432: connection refused' >&2; exit 3"]
restart_delay = "20s"

[[apps]]
name = "nightly"
script = "/bin/true"
schedule = "0 3 * * *"
"""
_ENVIRONMENT: Final = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
_COLOURS: Final = {
    "default": "#d5dae0", "black": "#10141a", "red": "#ff6b64", "green": "#4cc173", "brown": "#e0a83a",
    "blue": "#2f5fb3", "magenta": "#c297ff", "cyan": "#4fc3d7", "white": "#f2f4f7", "brightblack": "#8592a0",
    "brightred": "#ff8078", "brightgreen": "#6fdc93", "brightbrown": "#ffd166", "brightblue": "#82b4ff",
    "brightmagenta": "#d7b8ff", "brightcyan": "#7fe0ef", "brightwhite": "#ffffff",
}  # fmt: skip
_CELL: Final = (8.4, 18)
_BACK: Final = "#10141a"


def svg(terminal: Terminal) -> str:
    """The screen as a picture whose text can be read and searched."""
    screen = terminal.screen
    wide, high = screen.columns * _CELL[0], screen.lines * _CELL[1]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide + 16:.0f} {high + 16:.0f}" role="img">',
        f'<rect width="100%" height="100%" rx="8" fill="{_BACK}"/>',
        '<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">',
    ]
    for row in range(screen.lines):
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            front, back = _COLOURS.get(cell.fg, "#d5dae0"), _COLOURS.get(cell.bg, _BACK)
            back = _BACK if cell.bg == "default" else back
            front, back = (back, front) if cell.reverse else (front, back)
            left, top = 8 + column * _CELL[0], 8 + row * _CELL[1]
            if back != _BACK:
                size = f'width="{_CELL[0] + 0.3:.1f}" height="{_CELL[1]}"'
                parts.append(f'<rect x="{left:.1f}" y="{top}" {size} fill="{back}"/>')
            if cell.data.strip():
                bold = ' font-weight="bold"' if cell.bold else ""
                parts.append(
                    f'<text x="{left:.1f}" y="{top + 14}" fill="{front}"{bold}>{escape(cell.data)}</text>'
                )
    return "\n".join([*parts, "</g>", "</svg>", ""])


def main(folder: Path) -> None:
    """Make them."""
    folder.mkdir(parents=True, exist_ok=True)
    # Nothing of the machine that makes them belongs into pictures: monit shows the environment.
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)
    with tempfile.TemporaryDirectory() as work, operated(Path(work), SYSTEM, ready=False) as it:
        eventually(lambda: it.states("worker") == ["backoff"], "the worker to fail")
        with monit(it.socket, 110, 28) as terminal:
            terminal.until("connection refused")
            terminal.press("d")
            terminal.until("what happened")
            for _ in range(20):
                terminal.draw(0.2)
            (folder / "monit.svg").write_text(svg(terminal), encoding="utf-8")
        with browser() as page:
            page.open(f"http://127.0.0.1:{it.port}/", width=1200, height=1000)
            page.until("document.getElementById('banner').textContent.includes('connection refused')")
            page.until("past.get('default/api')?.at.length > 1")
            page.screenshot(folder / "dashboard.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
