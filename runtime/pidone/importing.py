"""Finds modules of the standard library and of pidone in half the time, and runs some of them only when used.

A start imports some 330 of them.

The library's own finder is general: folders that come and go, zips, extensions, several kinds of byte code.
That takes 65 us for a module of nothing. Here are the four system calls that it comes down to where byte code
lies beside its source: 35 us, which makes a tenth of the CPU time of a start. Whatever is not exactly so, a
source that has changed among it, is left to the library's finder.
"""

import os
import sys
from _frozen_importlib import ModuleSpec, module_from_spec
from _frozen_importlib_external import MAGIC_NUMBER, PathFinder, SourceFileLoader
from marshal import loads

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType
    from typing import Any
else:
    ModuleType = type(sys)

_KNOWN = frozenset(("pidone", "click", "h11", "pythonjsonlogger"))
"""Beside the standard library: packages without extensions, which would come before sources of that name."""
_SUFFIX = f".{sys.implementation.cache_tag}.pyc"
_LONGEST = 1 << 17
_HEADER = 16
"""Of byte code, in bytes: the interpreter's number, flags, time and size of the source (PEP 552)."""
_BY_TIME = b"\0\0\0\0"
"""The flags of byte code that belongs to a source of one time and size."""
_UNCHECKED = b"\1\0\0\0"
"""The flags of byte code that is not to be compared with its source: that of images."""


def quicken() -> None:
    """Use it in this process, where the interpreter keeps out what the environment says of imports."""
    usual = not sys.flags.optimize and sys.pycache_prefix is None
    if sys.flags.isolated and usual and __file__.endswith(".py"):  # not in the bundle, which has no sources
        sys.meta_path.insert(-1, Finder(os.path.dirname(os.__file__)))


class Loader(SourceFileLoader):
    """The library's, with code that has been found to be that of the source."""

    code: "CodeType | None" = None

    def get_code(self, fullname: str) -> "CodeType | None":
        """Asked for once, as the module is run; whoever asks again gets it as the library does it."""
        code, self.code = self.code, None
        return code or super().get_code(fullname)


class Finder:
    """Goes before the library's finder in `sys.meta_path`, behind those of what is built in."""

    def __init__(self, library: str) -> None:
        """The folder of the standard library."""
        self._library = library
        self._buffer: bytearray | None = bytearray(_LONGEST)
        """One for all, as a new one each time costs more than the reading; None while a thread is at it."""

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        """As the import system asks for it; None for all that is not plain."""
        del target
        top = name.partition(".")[0]
        if path is None:
            if name not in sys.stdlib_module_names:
                return None
            folder = self._library
        elif top in _KNOWN or top in sys.stdlib_module_names:
            folder = path[0]
        else:
            return None
        tail = name.rpartition(".")[2]
        return self._spec(name, folder, tail) or self._spec(name, f"{folder}/{tail}", "__init__")

    def _spec(self, name: str, folder: str, tail: str) -> ModuleSpec | None:
        source, cached = f"{folder}/{tail}.py", f"{folder}/__pycache__/{tail}{_SUFFIX}"
        try:
            code = self._code(source, cached)
        except OSError:
            return None
        if code is None:
            return None
        loader = Loader(name, source)
        loader.code = code
        spec = ModuleSpec(name, loader, origin=source)
        spec.has_location = True
        spec.cached = cached
        if tail == "__init__":
            spec.submodule_search_locations = [folder]
        return spec

    def _code(self, source: str, cached: str) -> "CodeType | None":
        """The byte code of a source; None if it is not this source's. Raises OSError."""
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            return None
        try:
            descriptor = os.open(cached, os.O_RDONLY | os.O_CLOEXEC)
            try:
                length = os.readv(descriptor, (buffer,))
            finally:
                os.close(descriptor)
            if length == _LONGEST or not buffer.startswith(self._headers(source)):
                return None
            code: CodeType = loads(memoryview(buffer)[_HEADER:length])  # noqa: S302 (the interpreter's own)
            return code
        finally:
            self._buffer = buffer

    def _headers(self, source: str) -> tuple[bytes, ...]:
        """How byte code may begin that is this source's. Raises OSError."""
        status = os.stat(source)
        time, size = int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF
        belongs = MAGIC_NUMBER + _BY_TIME + time.to_bytes(4, "little") + size.to_bytes(4, "little")
        return belongs, MAGIC_NUMBER + _UNCHECKED


class _Postponed(ModuleType):
    """A module that is not run yet. `importlib.util.LazyLoader` runs it when it is imported a second time."""

    def __getattr__(self, name: str) -> "Any":
        if name == "__path__":  # as the import system asks for it
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment] # its own class, as soon as it is run
        try:
            self.__spec__.loader.exec_module(self)  # type: ignore[union-attr] # it has been found by one
        except BaseException:  # no descriptor is left: it is tried again when it is used again
            self.__class__ = _Postponed
            raise
        return getattr(self, name)


def postpone(name: str, path: "Sequence[str] | None" = None, **known: object) -> None:
    """Have a module that others import run only when somebody looks into it, for more than what is `known`.

    `path` is that of its package.
    """
    spec = None if name in sys.modules else PathFinder.find_spec(name, path)
    if spec is not None:
        module = module_from_spec(spec)
        module.__class__ = _Postponed
        module.__dict__.update(known)
        sys.modules[name] = module
