"""Python imports a module of this name at start: install the shim, then run the image's own.

It runs in the app's interpreter, which may be older than the runtime's (3.8 will do) and knows nothing of
the pidone package.
"""

import importlib
import os
import sys


def _chain() -> None:
    """Run the sitecustomize that we stand in front of, and get out of the way of imports."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    ours = sys.modules.pop("sitecustomize")
    try:
        importlib.import_module("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = ours


if os.environ.get("PIDONE_SHARE", "").startswith("@"):
    importlib.import_module("pidone_share").install()
elif "PIDONE_DRAIN_IDLE" in os.environ:
    importlib.import_module("pidone_inherited").install()
_chain()
