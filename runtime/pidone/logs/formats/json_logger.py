"""python-json-logger without its encoders for types that no record of ours has.

The package begins with importing all of itself, and so `dataclasses`, `uuid`, `inspect` and what those need:
8 ms of CPU time and 0.65 MiB of every runtime (15 paired rounds). Its core is all that is used here.
"""

import sys
from _frozen_importlib_external import PathFinder
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

_PACKAGE = "pythonjsonlogger"


def make_formatter(serialize: Callable[[Any], str], **options: Any) -> Any:
    """A formatter that writes what `serialize` makes of a record; `options` are BaseJsonFormatter's.

    Raises ImportError, OSError or MemoryError, as importing does.
    """
    core = _core()

    class Formatter(core.BaseJsonFormatter):  # type: ignore[misc, name-defined] # known when it is imported
        def jsonify_log_record(self, log_data: Mapping[str, Any]) -> str:
            return serialize(log_data)

    return Formatter(**options)


def _core() -> Any:
    """The module `pythonjsonlogger.core`, as a part of a package that is not run."""
    if _PACKAGE in sys.modules:  # somebody has it, and so all of it
        import pythonjsonlogger.core  # noqa: PLC0415

        return pythonjsonlogger.core
    spec = PathFinder.find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(f"no package {_PACKAGE}", name=_PACKAGE)
    package = ModuleType(_PACKAGE)
    package.__path__ = spec.submodule_search_locations
    stand_ins = {_PACKAGE: package}
    if "datetime" not in sys.modules:  # of which it uses two classes, of C: the same in Python takes 260 KiB
        with suppress(ImportError):  # not CPython
            stand_ins["datetime"] = __import__("_datetime")
    sys.modules.update(stand_ins)
    try:
        __import__(f"{_PACKAGE}.core")
    finally:
        for name in stand_ins:  # whoever wants them gets the whole ones
            del sys.modules[name]
    return sys.modules[f"{_PACKAGE}.core"]
