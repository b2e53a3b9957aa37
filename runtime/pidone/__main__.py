"""The `pidone` command; also `python -m pidone`."""

import sys


def main() -> int:
    """Run the command line and return the process's exit code."""
    from pidone.cli.main import dispatch  # noqa: PLC0415

    return dispatch(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
