"""What the bundled interpreter runs: the command line without this file, under the name it was called by.

The interpreter runs without `site`, which is slower and, in some distributions, looks elsewhere for packages.
"""

import sys

_here = sys.argv.pop(0).rpartition("/")[0]
sys.path.append(f"{_here}/python{sys.version_info.major}.{sys.version_info.minor}/site-packages")

from runtime.__main__ import main  # noqa: E402 (the path decides where it is)

sys.exit(main())
