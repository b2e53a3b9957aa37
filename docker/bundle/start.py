"""What the bundled interpreter runs: the command line without this file, under the name it was called by."""

import sys

from pidone.__main__ import main

del sys.argv[0]
sys.exit(main())
