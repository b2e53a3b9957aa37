"""An init for one command: `pidone exec`, and what `tini` and `dumb-init` do when called by their names.

Nothing here may import more than `os`, `signal` and small C modules: a container's start waits for it. Hence
no argparse, dataclasses, typing, contextlib or pathlib in this package, and plain classes instead.
"""
