"""`npm start` and its like, run as the command that package.json names."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ecosystem.box import Box

from pidone.ecosystem.spec import ExecMode


class TestNpm:
    """`npm start` and its like."""

    @pytest.fixture(autouse=True)
    def commands(self, box: Box) -> None:
        box.commands("node", "npm", "yarn", "pnpm", "sh")

    @staticmethod
    def package(box: Box, **scripts: str) -> None:
        box.file("package.json", json.dumps({"name": "shop", "version": "1.2.3", "scripts": scripts}))

    @pytest.mark.parametrize(
        ("keys", "argv"),
        [
            ({"script": "npm start"}, ["node", "server.js", "--port", "1"]),
            ({"script": "npm", "args": "start"}, ["node", "server.js", "--port", "1"]),
            ({"script": "npm", "args": "run start -- --x"}, ["node", "server.js", "--port", "1", "--x"]),
            ({"script": "npm -- start"}, ["node", "server.js", "--port", "1"]),
            ({"script": "yarn start --x"}, ["node", "server.js", "--port", "1", "--x"]),
            ({"script": "pnpm", "args": ["run", "start"]}, ["node", "server.js", "--port", "1"]),
        ],
    )
    def test_a_plain_script_is_run_directly(self, box: Box, keys: dict[str, Any], argv: list[str]) -> None:
        """npm would keep the IPC channel and delay signals; what it sets for programs is set here."""
        self.package(box, start="node server.js --port 1")
        box.file("server.js")
        assert box.argv(**keys) == argv
        app = box.app(**keys, instances=2)
        assert app.exec_mode is ExecMode.CLUSTER
        assert app.env["npm_package_version"] == "1.2.3"
        assert app.env["PATH"].startswith(f"{box.cwd}/node_modules/.bin:")
        assert "without" in box.notices[0]

    def test_settings_of_the_machine_and_places_of_npm(self, box: Box) -> None:
        """The npmrc beside the Node counts under the user's, and so does where it lies."""
        self.package(box, start="node server.js")
        box.file("server.js")
        prefix = Path(os.path.realpath(box.bin / "node")).parent.parent
        (prefix / "etc").mkdir()
        (prefix / "etc/npmrc").write_text("node-options=--no-warnings\nfoo=bar\n_authToken=secret\n")
        env = box.app(script="npm start").env
        assert env["NODE_OPTIONS"] == "--no-warnings"
        assert env["npm_config_foo"] == "bar"
        assert env["npm_config_prefix"] == env["npm_config_global_prefix"] == str(prefix)
        assert env["npm_config_globalconfig"] == f"{prefix}/etc/npmrc"
        assert "secret" not in env.values()

    def test_variables_in_front_are_variables(self, box: Box) -> None:
        """`NODE_ENV=production node x` needs no shell."""
        self.package(box, start="cross-env NODE_ENV=production node server.js")
        box.file("server.js")
        assert box.argv(script="npm start") == ["node", "server.js"]
        assert box.app(script="npm start").env["NODE_ENV"] == "production"

    def test_a_local_bin_is_run_by_node(self, box: Box) -> None:
        """`next start` means node_modules/.bin/next."""
        self.package(box, start="next start")
        box.file("node_modules/.bin/next", "#!/usr/bin/env node\n", mode=0o755)
        assert box.argv(script="npm start") == ["node", "./node_modules/.bin/next", "start"]

    @pytest.mark.parametrize(
        ("scripts", "why"),
        [
            ({"start": "node a.js && node b.js"}, "needs a shell"),
            ({"start": "node a.js", "prestart": "make"}, "prestart"),
            ({"start": "npm run x"}, "needs a shell"),
            ({}, "no script"),
        ],
    )
    def test_anything_else_goes_through_npm(self, box: Box, scripts: dict[str, str], why: str) -> None:
        """What npm alone can do, npm does, and it is said what that costs."""
        self.package(box, **scripts)
        assert box.argv(script="npm", args="start") == ["npm", "start"]
        assert why in box.notices[0]

    @pytest.mark.parametrize("name", [".pnp.cjs", ".pnp.js", "../.pnp.cjs"])
    def test_yarn_resolves_its_plug_and_play(self, box: Box, name: str) -> None:
        """Node alone would find no package; npm is not concerned."""
        self.package(box, start="node server.js")
        box.file("server.js")
        box.file(name)
        assert box.argv(script="yarn start") == ["yarn", "start"]
        assert "Plug'n'Play" in box.notices[0]
        assert box.argv(script="npm start") == ["node", "server.js"]

    def test_what_a_runner_gives(self, box: Box) -> None:
        """The version that corepack runs, settings in the environment before those in files, no logins."""
        self.package(box, start="node server.js")
        package = json.loads((box.cwd / "package.json").read_text())
        (box.cwd / "package.json").write_text(json.dumps({**package, "packageManager": "pnpm@9.1.2+sha.1"}))
        box.file("server.js")
        box.file("lib/corepack/dist/pnpm.js")
        (box.bin / "pnpm").unlink()
        (box.bin / "pnpm").symlink_to(box.cwd / "lib/corepack/dist/pnpm.js")
        (box.cwd / "lib/corepack/dist/pnpm.js").chmod(0o755)
        box.file(".npmrc", "node-options=--a\nfoo-bar='b'\n_auth=secret\n//r.example/:_authToken=t\n")
        env = box.app(script="pnpm start", environ={"NPM_CONFIG_NODE_OPTIONS": "--c"}).env
        assert env["npm_config_user_agent"].startswith("pnpm/9.1.2 npm/? ")
        assert (env["NODE_OPTIONS"], env["npm_config_foo_bar"]) == ("--c", "b")
        assert not [value for value in env.values() if "secret" in value or value == "t"]
        assert box.app(script="pnpm start").env["NODE_OPTIONS"] == "--a"
