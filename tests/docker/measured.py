"""Figures that tests report beside what they check; printed at the end of the session."""

from collections.abc import Callable
from typing import TypeAlias

from bench.figures import Figure

Report: TypeAlias = Callable[[Figure], None]
"""Has a figure printed."""
