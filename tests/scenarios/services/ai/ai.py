"""Guesses: scores a text by its length."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scenarios.services.pyservice import serve

if __name__ == "__main__":
    serve("ai", int(os.environ["AI_PORT"]), lambda path: {"service": "ai", "score": len(path)})
