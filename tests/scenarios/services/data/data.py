"""Serves the data sources."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scenarios.services.pyservice import serve

SOURCES = ["weather", "traffic", "parcels"]

if __name__ == "__main__":
    serve(
        "data",
        int(os.environ["DATA_PORT"]),
        lambda _path: {"service": "data", "sources": SOURCES},
    )
