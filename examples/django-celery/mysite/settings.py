"""As little as it takes."""

import os

SECRET_KEY = os.environ.get("SECRET_KEY", "for-trying-it-only")
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "mysite.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DB", "/tmp/db.sqlite3")}
}
CELERY_BROKER_URL = os.environ.get("BROKER_URL", "redis://redis:6379/0")
CELERY_BEAT_SCHEDULE = {"tick": {"task": "mysite.celery.tick", "schedule": 30.0}}
