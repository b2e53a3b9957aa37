"""The `pidone` command; also `python -m pidone`."""

import os
import sys

if not __package__:  # run by its path: see isolation
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main() -> int:
    """Run the command line and return the process's exit code."""
    from pidone.importing import quicken  # noqa: PLC0415

    quicken()
    from pidone.cli.main import dispatch  # noqa: PLC0415
    from pidone.isolation import called_by, show_name  # noqa: PLC0415

    sys.argv[0] = called_by()
    name = os.path.basename(sys.argv[0])
    show_name("pidone" if name == "__main__.py" else name)
    return dispatch(sys.argv)


if __name__ == "__main__":
    from pidone.isolation import isolate

    isolate(os.path.abspath(__file__))
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder that we were started in
    sys.exit(main())
