"""What `pm2-runtime --web` has at `/`: the machine in a few figures, and PM2's list."""

import os
import time
from typing import Any, Final

from pidone import procfs
from pidone.control.answers.views import app_view
from pidone.control.pm2.lists import entries
from pidone.ecosystem.spec import Bytes
from pidone.supervise.run.session import Parts

_KIB: Final[Bytes] = 1024


def overview(parts: Parts) -> dict[str, Any]:
    """As PM2's HttpInterface.js, with `PM2_WEB_STRIP_ENV_VARS`: no variable is told."""
    usage = parts.features.usage().usage()
    apps = parts.supervisor.apps.values()
    memory = _memory()
    return {
        "system_info": {"hostname": os.uname().nodename, "uptime": time.clock_gettime(time.CLOCK_BOOTTIME)},
        "monit": {
            "loadavg": list(os.getloadavg()),
            "total_mem": memory.get("MemTotal", 0),
            "free_mem": memory.get("MemAvailable", 0),
            "cpu": [],
            "interfaces": {},
        },
        "processes": entries([app_view(app, parts.launcher.pm_id, usage, "") for app in apps]),
    }


def _memory() -> dict[str, Bytes]:
    """Of proc_meminfo(5)."""
    try:
        rows = [line.split() for line in procfs.read_text("/proc/meminfo").splitlines()]
    except OSError:
        return {}
    return {row[0].rstrip(":"): int(row[1]) * _KIB for row in rows if len(row) > 1 and row[1].isdigit()}
