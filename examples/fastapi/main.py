"""The smallest FastAPI app."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    """What the smoke test looks for."""
    return {"message": "hello"}
