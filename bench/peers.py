"""Where the programs are that we are compared with."""

import os
import shutil


def find(name: str) -> str | None:
    """The peer's command in a folder of PIDONE_PEERS (separated like PATH) or in PATH; None without it."""
    folders = os.environ.get("PIDONE_PEERS", ""), os.environ.get("PATH", "")
    return shutil.which(name, path=os.pathsep.join(folder for folder in folders if folder))
