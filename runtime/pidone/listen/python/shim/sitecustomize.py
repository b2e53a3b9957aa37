"""Python imports a module of this name at start: install the shim, then run the image's own.

It runs in the app's interpreter, which may be older than the runtime's, and does not know pidone.
The shim needs 3.8; here nothing is written that Python 2.7 does not read, as it comes by here as well.
"""

import importlib
import os
import sys


def _chain():  # type: () -> None  # noqa: ANN202 (Python 2 has no annotations)
    """Run the sitecustomize that we stand in front of, and get out of the way of imports."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    ours = sys.modules.pop("sitecustomize")
    try:
        importlib.import_module("sitecustomize")
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = ours


if sys.version_info < (3, 8):
    pass  # its ports are shared by the kernel, if at all, and it has no heartbeat
elif os.environ.get("PIDONE_SHARE", "").startswith("@"):
    importlib.import_module("pidone_share").install()
elif "PIDONE_DRAIN_IDLE" in os.environ:
    importlib.import_module("pidone_inherited").install()
_chain()
