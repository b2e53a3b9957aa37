"""The line by which an app says that it is ready (`ready = "log:REGEX"`)."""

import re

from pidone.bounded_search import BoundedSearch, SearchTooLongError
from pidone.contracts import LogSink, Report
from pidone.ecosystem.spec import AppSpec


class ReadyLine:
    """Looks for it in the lines of one incarnation."""

    def __init__(self, app: AppSpec, pattern: str, report: Report, log: LogSink) -> None:
        """`log` hears once if the pattern takes too long on a line: that is not the one, then."""
        self._app = app
        self._search = re.compile(pattern).search
        self._report = report
        self._log = log
        self._bounded = BoundedSearch(self._failed)
        self._has_failed = False

    def __call__(self, line: str) -> bool:
        """Whether this is the line."""
        try:
            found = self._bounded.attempt(self._search, line)
        except SearchTooLongError:
            return False
        if found is None:
            return False
        self._report.ready("log")
        return True

    def _failed(self, told: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._log.event("warning", "log.pattern_failed", told, **self._app.labels(), count=1)
