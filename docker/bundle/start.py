"""What the bundled interpreter runs: the command line without this file, under the name it was called by.

The interpreter runs without `site`, which is slower and, in some distributions, looks elsewhere for packages.
`start.py -m MODULE ARGUMENTS` runs a module, as runtime/interpreter.py asks for.
"""

import sys

_here = sys.argv.pop(0).rpartition("/")[0]
sys.path.append(f"{_here}/python{sys.version_info.major}.{sys.version_info.minor}/site-packages")

if sys.argv[0] == "-m":
    from runpy import run_module

    sys.argv.pop(0)
    run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    from runtime.__main__ import main

    sys.exit(main())
