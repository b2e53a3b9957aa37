"""In the place of `_ssl`: unpacks OpenSSL when TLS is wanted at all, which is when a webhook is called.

OpenSSL is a quarter of everything that the bundle would hold. The real extension finds the libraries by their
sonames (dlopen(3): what is loaded already under that name is taken), and those are loaded out of memory
(memfd_create(2)).
"""

import ctypes
import lzma
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location


def _load() -> None:
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tls")
    descriptors: list[int] = []
    try:
        for name in sorted(name for name in os.listdir(folder) if name.endswith(".xz")):
            descriptors.append(os.memfd_create(name))
            with open(os.path.join(folder, name), "rb") as packed:
                library = lzma.decompress(packed.read())
            with open(descriptors[-1], "wb", closefd=False) as unpacked:
                unpacked.write(library)
            ctypes.CDLL(f"/proc/self/fd/{descriptors[-1]}", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ImportError(f"TLS cannot be loaded: {error}") from error
    finally:
        for (
            descriptor
        ) in descriptors:  # not before: a name that is used again would be taken for the same library
            os.close(descriptor)
    spec = spec_from_file_location("_ssl", os.path.join(folder, "_ssl.so"))
    assert spec is not None  # noqa: S101 (for the type checker)
    assert spec.loader is not None  # noqa: S101
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["_ssl"] = module  # what `import _ssl` returns, as the import system looks there again


_load()
