"""Logging: one JSON object per line on stdout, for the service and for the libraries it uses."""

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from chat.settings import Settings


def configure(settings: Settings, service: str) -> None:
    """Send every logger to stdout as JSON; `service` tells the programs of the sample apart."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields={"service": service},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's, for terminals
            timestamp=True,
        )
    )
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logging.addLevelName(level, logging.getLevelName(level).lower())  # as the runtime writes them
    logging.basicConfig(level=settings.log_level.lower(), handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its starts and stops are told by the programs
