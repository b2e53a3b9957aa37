"""`watch_config`: a changed ecosystem file is applied, however it changed; a broken one changes nothing."""

import asyncio
import contextlib
import errno
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE_S, PIDONE, Running, eventually, opened, pidone
from writing import shell

from pidone.ecosystem.spec import Origin
from pidone.supervise.watching import inotify
from pidone.supervise.watching.config import ConfigWatch, waypoints

OTHERS = 8
"""Files that have nothing to do with it."""


def text(*, nap: int = 1000, watched: bool = True, **runtime: Any) -> str:
    """An ecosystem of one app; another `nap` is another app."""
    apps = [shell("a", f"exec sleep {nap}", ready_delay="10ms")]
    return json.dumps({"apps": apps, "runtime": {"watch_config": watched, **runtime}})


class ConfigMap:
    """A folder as the kubelet mounts and updates it (pkg/volume/util/atomic_writer.go)."""

    def __init__(self, folder: Path, **data: str) -> None:
        self.folder = folder
        self._version = 0
        folder.mkdir()
        self.update(**data)
        for name in data:
            (folder / f"{name}.json").symlink_to(f"..data/{name}.json")

    def update(self, **data: str) -> None:
        """Put the new version beside the old one, then let the link lead there, then remove the old one."""
        old = self.folder / f"..v{self._version}"
        self._version += 1
        new = self.folder / f"..v{self._version}"
        new.mkdir()
        for name, content in data.items():
            (new / f"{name}.json").write_text(content)
        link = self.folder / "..data_tmp"
        link.symlink_to(new.name)
        link.rename(self.folder / "..data")
        if old.exists():
            for file in old.iterdir():
                file.unlink()
            old.rmdir()


@contextlib.contextmanager
def following(file: Path | str, *args: str) -> Iterator[Running]:
    """A pidone whose app runs and whose file is watched."""
    with pidone(*args, str(file)) as run:
        run.expect(event="instance.online")
        eventually(lambda: inotify_descriptors(run) == 1, "the watch")
        yield run


def inotify_descriptors(run: Running) -> int:
    """How many inotify instances the runtime has."""
    return opened(run.pid).count("anon_inode:inotify")


def becomes(run: Running, nap: int) -> None:
    """Wait until the app is the one with this `nap`."""

    def command() -> bool:
        for start in run.find(event="instance.start")[-1:]:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                words = Path(f"/proc/{start['pid']}/cmdline").read_bytes().split(b"\0")
                return words[:2] == [b"sleep", str(nap).encode()]
        return False

    eventually(command, f"sleep {nap}")


def test_an_updated_config_map_is_applied(tmp_path: Path) -> None:
    """Each time the link is swapped; the file that is named never changes itself."""
    mounted = ConfigMap(tmp_path / "mounted", ecosystem=text(nap=1001))
    with following(mounted.folder / "ecosystem.json") as run:
        for nap in (1002, 1003, 1004):
            mounted.update(ecosystem=text(nap=nap))
            becomes(run, nap)
        assert run.expect(event="config.reload", count=3)["changed"] == ["a"]


def test_every_file_of_several_is_watched(tmp_path: Path) -> None:
    """One that is included, one that comes into a folder that an `include` looks into, and one that goes."""
    file, folder = tmp_path / "e.json", tmp_path / "conf.d"
    folder.mkdir()
    (folder / "1.json").write_text(text(nap=1001))
    file.write_text(json.dumps({"include": ["conf.d/*.json"], "runtime": {"watch_config": True}, "apps": []}))
    with following(file) as run:
        (folder / "1.json").write_text(text(nap=1002))
        becomes(run, 1002)
        (folder / "2.json").write_text(text(nap=1003))
        becomes(run, 1003)
        (folder / "2.json").write_text(text(nap=1004))
        becomes(run, 1004)
        (folder / "2.json").unlink()
        becomes(run, 1002)


def test_what_lies_beside_it_in_the_config_map_counts_too(tmp_path: Path) -> None:
    """A map is replaced as a whole, so an `env_file` in it is read anew when it alone has changed."""
    folder = tmp_path / "mounted"
    app = shell("a", 'exec sleep "$NAP"', ready_delay="10ms", env_file=str(folder / "variables.json"))
    same = json.dumps({"apps": [app], "runtime": {"watch_config": True}})
    mounted = ConfigMap(folder, ecosystem=same, variables="NAP=1001")
    with following(folder / "ecosystem.json") as run:
        mounted.update(ecosystem=same, variables="NAP=1002")
        becomes(run, 1002)


def test_a_broken_update_changes_nothing_and_is_reported(tmp_path: Path) -> None:
    """The app goes on, and the next good version is applied."""
    mounted = ConfigMap(tmp_path / "mounted", ecosystem=text(nap=1001))
    with following(mounted.folder / "ecosystem.json") as run:
        mounted.update(ecosystem='{"apps": [')
        assert "nothing was changed" in run.expect(event="config.rejected")["message"]
        mounted.update(ecosystem=json.dumps({"apps": [{"name": "a", "script": "/does/not/exist"}]}))
        run.expect(event="config.rejected", count=2)
        assert not run.find(event="instance.exit")
        mounted.update(ecosystem=text(nap=1002))
        becomes(run, 1002)


def test_a_file_that_is_written_in_place(tmp_path: Path) -> None:
    """As by an editor or a shell; also by its path relative to the working directory."""
    file = tmp_path / "ecosystem.json"
    file.write_text(text(nap=1001))
    with following(os.path.relpath(file)) as run:
        file.write_text(text(nap=1002))
        becomes(run, 1002)


def test_a_file_that_is_renamed_over(tmp_path: Path) -> None:
    """As by an editor that is careful."""
    file = tmp_path / "ecosystem.json"
    file.write_text(text(nap=1001))
    with following(file) as run:
        for nap in (1002, 1003):
            (tmp_path / "new").write_text(text(nap=nap))
            (tmp_path / "new").rename(file)
            becomes(run, nap)


def test_a_link_from_elsewhere_is_followed(tmp_path: Path) -> None:
    """A link in the working directory to a file in a mounted folder: both ends count."""
    mounted = ConfigMap(tmp_path / "mounted", ecosystem=text(nap=1001))
    link = tmp_path / "ecosystem.json"
    link.symlink_to(mounted.folder / "ecosystem.json")
    with following(link) as run:
        mounted.update(ecosystem=text(nap=1002))
        becomes(run, 1002)
        other = tmp_path / "other.json"
        other.write_text(text(nap=1003))
        (tmp_path / "new").symlink_to(other)
        (tmp_path / "new").rename(link)
        becomes(run, 1003)
        other.write_text(text(nap=1004))
        becomes(run, 1004)


def test_a_file_that_went_away_comes_back(tmp_path: Path) -> None:
    """Even its whole folder: what is missing is waited for."""
    folder = tmp_path / "conf"
    folder.mkdir()
    file = folder / "ecosystem.json"
    file.write_text(text(nap=1001))
    with following(file) as run:
        file.unlink()
        folder.rmdir()
        run.expect(event="config.rejected")
        folder.mkdir()
        file.write_text(text(nap=1002))
        becomes(run, 1002)


def test_a_change_before_the_watch_is_not_missed(tmp_path: Path) -> None:
    """What counts is what was read, not when watching began."""
    file = tmp_path / "ecosystem.json"
    file.write_text(text(nap=1001, start_delay="500ms"))
    with pidone(str(file)) as run:
        run.expect(event="runtime.start")
        file.write_text(text(nap=1002))
        becomes(run, 1002)


def test_what_else_happens_in_the_folder_does_not_count(tmp_path: Path) -> None:
    """Only names on the way to the file matter; the file is not even read again."""
    file = tmp_path / "ecosystem.json"
    file.write_text(text(nap=1001))
    with following(file) as run:
        for n in range(OTHERS):
            (tmp_path / f"other{n}").write_text("x")
        file.write_text(text(nap=1002))
        becomes(run, 1002)
        assert len(run.find(event="config.reload")) == 1


def test_the_file_itself_turns_it_on_and_off(tmp_path: Path) -> None:
    """Without the key there is nothing of it in the process."""
    file = tmp_path / "ecosystem.json"
    file.write_text(text(watched=False))
    with pidone(str(file)) as run:
        run.expect(event="control.listening")
        assert inotify_descriptors(run) == 0
        file.write_text(text())
        run.signal(signal.SIGHUP)
        eventually(lambda: inotify_descriptors(run) == 1, "the watch")
        file.write_text(text(watched=False))
        eventually(lambda: inotify_descriptors(run) == 0, "no watch")


def test_there_is_nothing_to_watch_without_a_file() -> None:
    """Standard input is read once."""
    with Running(["sh", "-c", 'echo "$1" | exec "$0" -', PIDONE, text()]) as run:
        assert "no file to watch" in run.expect(event="config.warning")["message"]


def test_warnings_of_a_new_version_are_told(tmp_path: Path) -> None:
    """Those that the version before did not have."""
    file = tmp_path / "ecosystem.json"
    file.write_text(text(nap=1001, shutdown_delay="9s", shutdown_timeout="5s"))
    with following(file) as run:
        assert len(run.find(event="config.warning")) == 1
        file.write_text(text(nap=1002, shutdown_delay="9s", shutdown_timeout="5s", nonsense=1))
        becomes(run, 1002)
        assert "nonsense" in run.expect(event="config.warning", count=2)["message"]


def test_a_kernel_that_refuses_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of inotify are common in containers; nothing else suffers."""
    reported: asyncio.Queue[OSError] = asyncio.Queue()
    before = opened(os.getpid()).count("anon_inode:inotify")

    def refuse(_self: inotify.Inotify, path: str, _mask: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    async def watch() -> OSError:
        watching = ConfigWatch(
            [Origin.of(str(tmp_path / "ecosystem.json"))],
            loop=asyncio.get_running_loop(),
            on_changed=lambda: reported.put_nowait(OSError("not a change")),
            on_failed=reported.put_nowait,
        )
        error = await reported.get()
        watching.close()
        return error

    monkeypatch.setattr(inotify.Inotify, "watch", refuse)
    assert asyncio.run(asyncio.wait_for(watch(), DEADLINE_S)).errno == errno.ENOSPC
    assert reported.empty()
    assert opened(os.getpid()).count("anon_inode:inotify") == before


def test_waypoints_of_a_mounted_config_map(tmp_path: Path) -> None:
    """The name in the folder, the link behind it, and the file in the folder where that leads."""
    mounted = ConfigMap(tmp_path / "mounted", ecosystem="")
    assert waypoints(str(mounted.folder / "ecosystem.json")) == {
        str(mounted.folder): {"ecosystem.json", "..data"},
        str(mounted.folder / "..v1"): {"ecosystem.json"},
    }


@pytest.mark.parametrize(
    ("links", "path", "expected"),
    [
        ({}, "file", {"": {"file"}}),
        ({}, "missing/file", {"": {"missing"}}),
        ({}, "file/below", {"": {"file"}}),
        ({"link": "folder"}, "link/file", {"": {"link"}, "folder": {"file"}}),
        ({"folder/up": "../file"}, "folder/up", {"folder": {"up"}, "": {"file"}}),
        ({"link": "gone"}, "link", {"": {"link", "gone"}}),
        ({"a": "b", "b": "a"}, "a", {"": {"a", "b"}}),
    ],
)
def test_waypoints(tmp_path: Path, links: dict[str, str], path: str, expected: dict[str, set[str]]) -> None:
    """Every link and the end of the way, also where something is missing; circles end."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "folder/file").touch()
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    found = waypoints(str(tmp_path / path))
    assert found == {str(tmp_path / folder): names for folder, names in expected.items()}
