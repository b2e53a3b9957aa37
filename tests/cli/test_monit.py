"""monit in a real terminal: seen by pyte, driven by keys and a mouse."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.terminal import monit
from control.operated import SLEEPER, Operated, operated
from harness import eventually, pidone

BROKEN = """
[[apps]]
name = "worker"
script = "/bin/sh"
args = ["-c", "echo hello; echo 'cannot reach the database at db:5432' >&2; exit 3"]
max_restarts = 2
restart_delay = 50

[[apps]]
name = "日本語"
script = "/bin/sh"
args = ["-c", '''printf '{"level":"warn","msg":"赤い","n":7}\\n'; exec sleep 1000''']
ready_delay = 0
max_memory_restart = "64M"

[[apps]]
name = "nightly"
script = "/bin/true"
schedule = "0 3 * * *"
"""
SIZES = [(80, 24), (120, 40), (250, 60)]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """Apps of which one has given up."""
    with operated(tmp_path_factory.mktemp("broken"), BROKEN + SLEEPER, ready=False) as it:
        eventually(lambda: it.states("worker") == ["errored"], "the worker to give up")
        yield it


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_says_what_is_wrong_at_every_size(broken: Operated, width: int, height: int) -> None:
    """Not ready and why first, the broken app on top, its last words in the log."""
    with monit(broken.socket, width, height) as terminal:
        # A picture is drawn from the top, and may be read in parts; pyte has a cell for each half of a sign.
        terminal.until(
            r"cannot reach the database(.|\n)*日 ?本 ?語 +online.*64\.0M(.|\n)*log of worker(.|\n)*all keys"
        )
        lines = terminal.lines
        assert len(lines) == height
        head = next(number for number, line in enumerate(lines) if re.match(r"  name +state +restarts", line))
        said = " ".join(" ".join(lines[: head - 1]).split())
        assert re.match(
            r"NOT READY worker errored: gave up after 2 unstable .*code 3: cannot reach the", said
        )
        assert "`pidone start worker`" in said
        assert re.search(r"of [\d.]+ CPUs  mem .*throttled \d+%", lines[head - 1])
        assert re.match(r"  worker +errored +1/2 ", lines[head + 1])
        assert "gave up" in lines[head + 1]
        assert terminal.row_of("api x2") > terminal.row_of("  worker")
        assert re.match(r"\? all keys  q leave  d details", lines[-1])
        terminal.press("d")
        terminal.until(r"last lines of stderr\n +cannot reach the database at db:5432")
        terminal.until("what happened\n")
        terminal.press("e")
        terminal.until(r"events of worker(.|\n)*instance\.errored")


def test_keys_that_come_together_all_count(broken: Operated) -> None:
    """`j j j` in one read moves three rows; `?` tells them all, and any key leads back."""
    with monit(broken.socket, 100, 30) as terminal:
        terminal.until("log of worker")
        head = terminal.row_of("restarts")
        first = terminal.lines[head + 1 : head + 7]
        terminal.press("jjj")
        name = first[3].split()[0].removeprefix("▾")
        terminal.until(rf"log of {name}")
        terminal.press("\x1b[Bk?")
        terminal.until(r"move; after Tab(.|\n)*delete: stop and forget")
        terminal.press("x")
        terminal.until(rf"log of {name}")


def test_what_is_pasted_is_no_command(broken: Operated) -> None:
    """Nor a sequence that the line has cut; Esc and a key that come together are two."""
    with monit(broken.socket, 100, 30) as terminal:
        terminal.until("log of worker")
        terminal.press("\x1b[200~Dy sy\r\x1b[201~")
        terminal.press("/\x1b[200~gave up\r\x1b[201~")
        terminal.until("filter: gave up")
        terminal.press("\r")
        terminal.until("filter 'gave up': Esc shows all")
        terminal.press("\x1b?")
        terminal.until("move; after Tab")
        terminal.press("x")
        terminal.until(r"(?s)\A(?!.*filter 'gave).*log of worker")
        terminal.shows(lambda: "?" not in terminal.lines[-2], "without a question")
        assert broken.states("worker") == ["errored"]
        terminal.press("\x1bq")
        assert terminal.wait() == 0


def test_the_table_is_filtered_sorted_and_folded(broken: Operated) -> None:
    """By name, state or reason; by any column, also with the mouse; apps fold into one line."""
    with monit(broken.socket, 120, 30) as terminal:
        terminal.until("api:1")
        terminal.press("/gave up")
        terminal.until("filter: gave up")
        terminal.until(r"(?s)\A(?!.*api:1)")
        assert terminal.row_of("worker") == 0
        terminal.press("\r")
        terminal.until("filter 'gave up': Esc shows all")
        terminal.press("\x1b")
        terminal.until("api:1")
        terminal.click(3, head := terminal.row_of("restarts"))
        terminal.until("name▴")
        terminal.shows(lambda: terminal.row_of("▾api") == head + 1, "sorted by name")
        terminal.click(3, head)
        terminal.until("name▾")
        terminal.shows(lambda: terminal.row_of("▾api") > terminal.row_of("nightly") > 0, "turned round")
        terminal.press("F")
        terminal.until(r"(?s)\A(?!.*api:1).*▸api")
        terminal.press("o")
        terminal.until("sorted by state")


def test_the_mouse_chooses_and_scrolls(broken: Operated) -> None:
    """A click chooses a row; the wheel over the log moves it and pauses it."""
    with monit(broken.socket) as terminal:
        terminal.until("log of worker")
        row = terminal.row_of("nightly")
        terminal.click(4, row)
        terminal.until("log of nightly")
        terminal.press("a")
        terminal.until("log of all apps")
        terminal.until("instance.errored")
        terminal.click(10, terminal.row_of("log of all") + 2, button=64)
        terminal.until(r"paused, \d+ newer: End follows")
        terminal.press("\x1b[F")
        terminal.until(r"log of all apps ─")


def test_the_log_is_searched_and_filtered_by_level(broken: Operated) -> None:
    """`/` in the log finds the earlier line, `v` hides what is harmless, JSON lines are shown in words."""
    with monit(broken.socket, 120, 40) as terminal:
        terminal.until("log of worker")
        terminal.press("a")
        terminal.until(r"[赤い].*n=7")
        terminal.press("\t/hello\r")
        terminal.until("search 'hello': n N")
        terminal.until("paused")
        terminal.press("\x1b")
        terminal.until("log of all apps ─")
        terminal.press("vvv")
        terminal.until(r"(?s)level error and worse(?!.*hello).*instance.errored")


def test_actions_ask_and_tell(tmp_path: Path) -> None:
    """What takes something away asks and names it: what is under the cursor, or all that is marked."""
    with (
        operated(tmp_path, SLEEPER.replace("instances = 2", "instances = 3")) as it,
        monit(it.socket) as terminal,
    ):
        terminal.until("api:2")
        terminal.press("jjs")
        terminal.until(r"stop api:1\? \(stops it until somebody starts it\) y does it")
        terminal.press("n")
        terminal.until("not done")
        assert it.states("api") == ["online"] * 3
        terminal.press("sy")
        terminal.until("stop api:1: the runtime does it")
        eventually(lambda: it.states("api") == ["online", "stopped", "online"], "only that one to stop")
        terminal.press("S")
        eventually(lambda: it.states("api") == ["online"] * 3, "it to start again")
        terminal.press("g+")
        eventually(lambda: it.app("api")["scale"] == 4, "one more")
        terminal.until(r"api:3 +online")
        terminal.press("j  ")
        terminal.until("2 marked")
        terminal.press("R")
        terminal.until(r"restart api:0, api:1\?")
        terminal.press("y")
        terminal.until("restart api:0, api:1: the runtime does it")
        terminal.press("\x1b")
        terminal.until(r"(?s)\A(?!.*\+   api)")
        terminal.press("D")
        terminal.until(r"delete api\?")
        terminal.press("y")
        terminal.until("no answer")  # a runtime ends with its last app


def test_a_long_name_leaves_room_for_the_cause(tmp_path: Path) -> None:
    """And keeps its end, which says which instance it is."""
    app = BROKEN.partition("[[apps]]\nname = '日".replace("'", '"'))[0] + "instances = 2\n"
    ecosystem = app.replace('"worker"', f'"{"w" * 200}"') + SLEEPER
    with operated(tmp_path, ecosystem, ready=False) as it, monit(it.socket) as terminal:
        said = terminal.until("NOT READY +w+…wwww errored: (.|\n)*cannot reach")
        assert re.search(r" w+…w*:0 +errored.*\n +w+…w*:1 +errored", said)
        terminal.press("jd")
        terminal.until(r"details of w(.|\n)*\nw+…w*:0 +errored  restarts")


def test_errors_have_a_line_of_their_own(tmp_path: Path) -> None:
    """What the runtime refuses is told in its words."""
    with (
        operated(tmp_path, SLEEPER.replace("instances = 2", "instances = 1")) as it,
        monit(it.socket) as terminal,
    ):
        terminal.until("log of api")
        terminal.press("-")
        terminal.until(r"scale api -1\?")
        terminal.press("y")
        terminal.until(r"scale api -1: .*(instance|at least|expected)")


def test_it_survives_the_end_of_the_runtime(tmp_path: Path) -> None:
    """It says that nobody answers, and goes on with the next runtime."""
    file, socket = tmp_path / "ecosystem.toml", str(tmp_path / "control.sock")
    file.write_text(SLEEPER)
    with pidone("--socket", socket, str(file)) as run:
        run.expect(event="control.listening")
        run.expect(event="instance.online", count=2)
        with monit(socket, 120, 30) as terminal:
            terminal.until("READY")
            run.signal(signal.SIGHUP)
            terminal.until(r"READY(.|\n)*api:1")
            run.signal(signal.SIGTERM)
            run.wait()
            terminal.until("no answer .*the runtime does not answer")
            assert "api:1" in "\n".join(terminal.lines)
            with pidone("--socket", socket, str(file)) as second:
                terminal.until("the runtime answers again")
                terminal.until("READY(.|\n)*log of api")
                second.signal(signal.SIGTERM)
                second.wait()
            terminal.press("q")
            assert terminal.wait() == 0


@pytest.mark.parametrize("how", ["q", "ctrl c", "SIGTERM", "SIGHUP"])
def test_the_terminal_is_as_before(broken: Operated, how: str) -> None:
    """The cursor, the main screen and no mouse, whatever ends it."""
    with monit(broken.socket) as terminal:
        terminal.until("log of worker")
        number = getattr(signal, how, None)
        if number is None:
            terminal.press({"q": "q", "ctrl c": "\x03"}[how])
        else:
            terminal.program.send_signal(number)
        assert terminal.wait() == (0 if number is None else 128 + number)
        while terminal.draw(0.1) and terminal.screen.cursor.hidden:
            pass
        assert not terminal.screen.cursor.hidden
        modes = {mode >> 5 for mode in terminal.screen.mode}
        assert not modes & {1000, 1002, 1006, 2004}


def test_a_window_changes_its_size(broken: Operated) -> None:
    """From 250 columns to 80 and back: always whole lines."""
    with monit(broken.socket, 250, 60) as terminal:
        terminal.until("log of worker")
        for width, height in ((80, 24), (120, 40), (60, 15)):
            terminal.resize(width, height)
            terminal.until(rf"\A(?=(.*\n){{{height - 1}}}\? all keys.*\Z)(.*\n){{2,5}}  worker ")


def test_a_terminal_may_not_know_its_size_yet(broken: Operated) -> None:
    """As in the first moment of `docker exec -t`: 80 columns then."""
    with monit(broken.socket, is_sized=False) as terminal:
        terminal.until("log of worker")
        terminal.resize(120, 40)
        terminal.until(r"\A(.*\n){39}\? all keys")


def test_without_colours(broken: Operated) -> None:
    """NO_COLOR: nothing has one."""
    with monit(broken.socket, env={"NO_COLOR": "1"}) as terminal:
        terminal.until("log of worker")
        found = {cell.fg for line in terminal.screen.buffer.values() for cell in line.values()}
        assert found == {"default"}


def test_many_apps_begin_folded(tmp_path: Path) -> None:
    """Forty instances take four lines, and the log has its place."""
    apps = "".join(
        SLEEPER.replace('"api"', f'"api{n}"').replace("instances = 2", "instances = 10") for n in range(4)
    )
    with operated(tmp_path, apps) as it, monit(it.socket) as terminal:
        terminal.until(r"▸api3 x10(.|\n)*log of api0")
        assert terminal.row_of("log of api0") == 7
        assert "40 online" in terminal.lines[0]


def test_no_key_waits_for_an_answer(broken: Operated) -> None:
    """Even while the runtime says nothing at all."""
    with monit(broken.socket, 120, 40) as terminal:
        terminal.until("log of worker")
        broken.run.signal(signal.SIGSTOP)
        try:
            for shown in ("move; after Tab", "log of worker") * 3:
                terminal.press("?")
                terminal.until(shown)
            terminal.press("j")
            terminal.until(r"log of (?!worker)")
            terminal.press("q")
            assert terminal.wait() == 0
        finally:
            broken.run.signal(signal.SIGCONT)


def test_a_dumb_terminal_is_told_what_it_can_read(broken: Operated) -> None:
    """It cannot move its cursor."""
    with monit(broken.socket, env={"TERM": "dumb"}) as terminal:
        assert terminal.wait() == 1
        assert "TERM=dumb" in terminal.until("pidone ls")


def test_a_locale_without_utf_8_gets_ascii(broken: Operated) -> None:
    """As wide as everything is elsewhere; nothing said is UTF-8."""
    with monit(broken.socket, 100, 24, env={"LC_ALL": "en_US.ISO-8859-1"}) as terminal:
        terminal.until("-- log of worker")
        text = terminal.until(r"\?\?\?\?\?\? +online")
        assert text.isascii()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (10, 3), (20, 5), (40, 12), (200, 4)])
def test_any_size_is_drawn(broken: Operated, width: int, height: int) -> None:
    """However small; it lives, and is back when there is room."""
    with monit(broken.socket) as terminal:
        terminal.until("log of worker")
        terminal.resize(width, height)
        terminal.press("jjk\x1b[5~?xd")
        terminal.until("N?")
        terminal.resize(80, 24)
        terminal.until("details of")


def test_keys_nobody_knows_do_nothing(broken: Operated) -> None:
    """Nor do bytes that are no keys, or clicks outside of the screen."""
    with monit(broken.socket) as terminal:
        terminal.until("log of worker")
        terminal.press("\x00\x01\x1b[99~\x1bOQé日\x1b[<0;999;999M\x1b[<64;999;999M")
        terminal.press("?")
        terminal.until("move; after Tab")
        terminal.press("xq")
        assert terminal.wait() == 0
