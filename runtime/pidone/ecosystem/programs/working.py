"""Programs that take their work from a queue and serve no port, by their own manuals.

Celery "Workers Guide", dramatiq, Huey "The consumer", RQ "Workers", arq, Sidekiq, Resque, Laravel "Queues".
"""

from collections.abc import Sequence
from typing import Final

_WORKERS: Final = (
    *("dramatiq", "dramatiq-gevent", "huey_consumer", "huey_consumer.py", "rqworker", "arq"),
    *("sidekiq", "resque"),
)
_IF_SAID: Final = {
    "celery": ("worker", "beat"),  # and not `flower`
    "rq": ("worker", "worker-pool"),
    "manage.py": ("rqworker", "run_huey", "rundramatiq", "qcluster", "celery"),
    "artisan": ("queue:work", "queue:listen", "schedule:work"),
}


def never_listens(argv: Sequence[str]) -> bool:
    """Whether the program of this command line is known to serve nothing, whoever runs it."""
    for number, word in enumerate(argv[:4]):
        name = word.rpartition("/")[2]
        if name in _WORKERS or any(said in argv[number + 1 :] for said in _IF_SAID.get(name, ())):
            return True
    return False
