"""The project; importing it makes the Celery app, as `celery --app mysite` wants."""

from mysite.celery import app as celery_app

__all__ = ["celery_app"]
