"""TypeScript in a cluster: tsx's launcher stands between nobody."""

from pathlib import Path

import npm
import pytest
from clusters.load import Load
from clusters.site import get, node_app, running


@pytest.fixture(scope="session")
def tsx() -> str:
    """The command of the package tsx."""
    return str(npm.modules("tsx", "tsx") / ".bin" / "tsx")


@pytest.mark.parametrize("suffix", [".ts", ".mts"])
@pytest.mark.parametrize("way", ["interpreter", "text"])
def test_tsx(tmp_path: Path, tsx: str, port: int, suffix: str, way: str) -> None:
    """Several processes share the port, are ready when the app listens, and are replaced."""
    script = tmp_path / f"app{suffix}"
    script.write_text("""
      import { createServer, type Server } from 'node:http';
      const server: Server = createServer((request, response) => { response.end(`${process.pid} up`); });
      server.listen(Number(process.env.PORT));
    """)
    app = node_app(tsx, port, script=str(script), instances=2)
    if way == "text":
        app["script"] = f"{tsx} {script}"
        del app["interpreter"]
    with running(tmp_path, app) as site, Load(port, keep_alive=False) as load:
        assert {record["by"] for record in site.run.find(event="instance.online")} == {"listening"}
        load.more(100)
        assert site.reload()["replaced"] == 2
        load.more(100)
        assert load.finish() == []
        assert int(get(port).split()[0]) in site.pids()
