"""One row of the table of real servers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusters.site import UNHURRIED
from servers.install import Need

NEW = "first"
KEPT = "later"
"""Phases of a client's connection in which a request may be lost: see clusters.load.Failure."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that runs unmodified, and what is known of it."""

    name: str
    need: Need
    command: tuple[str, ...]
    """With placeholders of `need`, `{port}`, and `{folder}` with its `files`."""
    files: Mapping[str, str] = field(default_factory=dict)
    is_listed: bool = False
    """Whether its port stands in `listen`, in fork mode, instead of cluster mode."""
    env: Mapping[str, str] = field(default_factory=dict)
    speaks: str = "http"
    tells_pid: bool = True
    """Whether its answers begin with the pid of a process of the instance."""
    keeps: bool = True
    """Whether it keeps connections open between requests."""
    loses: frozenset[str] = frozenset()
    """What its own stop loses beside connections that clients keep: those that it accepts in that moment."""
    shuts_down: bool = False
    """Whether its stop calls shutdown(2) on its listening socket: what is queued there is reset, once."""
    codes: frozenset[int] = frozenset({0})
    """Its exit codes after its stop signal."""
    ready_by: str = "listening"
    """What tells that it is ready."""
    complains: tuple[str, ...] = ()
    """What it calls an error where several of it run on one machine, with or without us."""
    is_quick: bool = False
    """Whether it is one of those that every change is tried with."""

    def app(self, folder: Path, port: int) -> dict[str, Any]:
        """Its entry; its files are written. Skips the test where it cannot be had."""
        folder.mkdir(exist_ok=True)
        values = {**self.need(), "port": str(port), "folder": str(folder)}
        for name, text in self.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(filled(text, values))
        script, *args = (filled(word, values) for word in self.command)
        env = {"PORT": str(port)}
        if "modules" in values:
            env["NODE_PATH"] = values["modules"]
        if "bin" in values:
            env["PATH"] = values["bin"] + os.pathsep + os.environ["PATH"]
        env |= {name: filled(text, values) for name, text in self.env.items()}
        mine = {"name": "web", "script": script, "interpreter": "none", "args": args, "cwd": str(folder)}
        shared = {"listen": [port]} if self.is_listed else {"exec_mode": "cluster"}
        return {**mine, **UNHURRIED, **shared, "instances": 2, "env": env}


def filled(text: str, values: Mapping[str, str]) -> str:
    """Replace `{name}`; other braces are the program's."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text
