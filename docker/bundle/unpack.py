"""In the place of an extension that few need: unpacks it, and the libraries that only it needs.

OpenSSL is for webhooks, watchfiles for `watch`; they are a third of everything that the bundle would hold.
Libraries are found by their sonames (dlopen(3): what is loaded already under that name is taken), so they are
loaded first, out of memory (memfd_create(2)), and the extension last. Where that is refused, by a seccomp
filter or vm.memfd_noexec, a file without a name takes its place.
"""

import ctypes
import lzma
import os
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location

FOLDERS = ("/dev/shm", "/run", "/tmp", "/var/tmp", ".")  # noqa: S108 (mkstemp takes care)


def _empty(name: str) -> int:
    """A descriptor of what can be written and then loaded. Raises OSError."""
    try:
        return os.memfd_create(name)
    except OSError:
        import tempfile  # noqa: PLC0415 (rare)

        for folder in FOLDERS:
            try:
                descriptor, path = tempfile.mkstemp(dir=folder)
            except OSError:  # read-only, full or not there
                continue
            os.unlink(path)
            if not os.fstatvfs(descriptor).f_flag & os.ST_NOEXEC:
                return descriptor
            os.close(descriptor)
        raise


def _load(name: str) -> None:
    folder = os.path.join(os.path.dirname(os.path.dirname(os.__file__)), "packed", name)
    descriptors: list[int] = []
    try:
        for packed in sorted(os.listdir(folder)):
            descriptors.append(_empty(packed))
            with open(os.path.join(folder, packed), "rb") as file:
                library = lzma.decompress(file.read())
            with open(descriptors[-1], "wb", closefd=False) as unpacked:
                unpacked.write(library)
        # The loader takes equal paths for the same library, and numbers of descriptors are used again: each
        # extension writes its paths in another way.
        paths = [f"/proc/self/{'./' * len(name)}fd/{descriptor}" for descriptor in descriptors]
        for path in paths[:-1]:
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        spec = spec_from_file_location(name, paths[-1], loader=ExtensionFileLoader(name, paths[-1]))
        assert spec is not None  # noqa: S101 (for the type checker)
        assert spec.loader is not None  # noqa: S101
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    except OSError as error:
        raise ImportError(f"{name} cannot be loaded: {error}") from error
    finally:
        for descriptor in descriptors:  # not before: their paths would not be different any more
            os.close(descriptor)
    sys.modules[name] = module  # what the import returns, as the import system looks there again


_load(__name__)
