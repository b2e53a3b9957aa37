"""Measured numbers, for whoever runs the tests: shown at the end of the run, passed or not."""

FIGURES: list[str] = []


def figure(what: object) -> None:
    """Remember a number."""
    FIGURES.append(str(what))
