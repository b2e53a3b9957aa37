"""The smallest Flask app."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    """What the smoke test looks for."""
    return "hello"
