"""Hears of an import that comes later, and may change the module before the program has it."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable


class Expectation:
    """A finder of modules that only waits for one."""

    def __init__(self, name: str, on_module: Callable[[Any], None]) -> None:
        """`on_module` is called with the module when it has been executed."""
        self._name = name
        self._on_module = on_module

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """Leave it to the others, and see to it that what they find is passed on."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            own_exec = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                own_exec(module)
                self._on_module(module)

            setattr(spec.loader, "exec_module", exec_module)  # noqa: B010 (mypy forbids the plain assignment)
        return spec


def expect(name: str, on_module: Callable[[Any], None]) -> None:
    """Wait for the import, unless it has been: the module of a preloaded app may be there already."""
    if name in sys.modules:
        on_module(sys.modules[name])
        return
    sys.meta_path.insert(0, Expectation(name, on_module))
