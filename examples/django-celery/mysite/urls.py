"""One page."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


def hello(_request: HttpRequest) -> HttpResponse:
    """What the smoke test looks for."""
    return HttpResponse("hello")


urlpatterns = [path("", hello)]
