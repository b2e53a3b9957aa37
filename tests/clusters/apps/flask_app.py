"""A Flask program that runs its own server."""

import os

from flask import Flask

web = Flask(__name__)


@web.get("/")
def index() -> str:
    """Who it is and what it was made from."""
    return f"{os.getpid()} {os.environ.get('GENERATION', '0')}"


if __name__ == "__main__":
    web.run(port=int(os.environ["PORT"]))
