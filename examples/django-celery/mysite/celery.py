"""The Celery app, and a task that beat sends every half minute."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
app = Celery("mysite")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.task
def tick() -> None:
    """Show in the log that it works."""
    print("tick")
