"""Whatever a file holds: one clear error in time, no traceback, nothing left behind."""

# ruff: noqa: E501 the cases are other people's files, one to a line

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ecosystem.formats.support import ENV, Reader

from pidone.ecosystem import files
from pidone.ecosystem.formats import read
from pidone.ecosystem.formats.javascript import node
from pidone.errors import ConfigError
from pidone.supervise.run import loading

APP = "module.exports = { apps: [{ script: 'a.js' }] };"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)

HOSTILE = {
    "endless loop": ("e.config.js", "while (true);", "takes longer than"),
    "endless jobs": ("e.config.js", "const f = () => { Promise.resolve().then(f); }; f(); module.exports = new Promise(() => {})", "takes longer than"),
    "endless timer": ("e.config.js", "setInterval(() => {}, 1); module.exports = new Promise(() => {})", "takes longer than"),
    "endless loop in a JSON": ("pm2.json", "{apps: (() => { while (1); })()}", "takes longer than"),
    "catastrophic regular expression": ("e.config.js", "/(a+)+$/.test('a'.repeat(40) + 'b')", "takes longer than"),
    "never settled": ("e.config.js", "module.exports = new Promise(() => {})", "never settled"),
    "one gigabyte string": ("e.config.js", f"let s = 'x'.repeat(2 ** 30 - 10); {APP}", "needs more memory"),
    "all memory": ("e.config.js", "const a = []; while (1) a.push('x'.repeat(1e6) + a.length)", "needs more memory"),
    "typed arrays": ("e.config.js", "const a = []; while (1) a.push(new Uint8Array(1e8).fill(1))", "needs more memory"),
    "huge value": ("e.config.js", "module.exports = { apps: Array(60).fill({ script: 'x'.repeat(1e5) }) }", "4 MiB"),
    "huge list": ("e.config.js", "module.exports = { apps: Array(1e6).fill({ script: 'a' }) }", "more than 200000 values"),
    "sparse list": ("e.config.js", "const a = []; a[4e9] = 1; module.exports = { apps: a }", "more than 200000 values"),
    "fork": ("e.config.js", "require('child_process').fork('x')", "child_process.fork() is refused"),
    "network": ("e.config.js", "require('net').connect(80)", "net.connect() is refused"),
    "exit": ("e.config.js", "process.exit(0)", "process.exit() is refused"),
    "deep recursion": ("e.config.js", "function f() { f() } f()", "stack"),
    "deep value": ("e.config.js", "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; module.exports = a", "nested more than"),
    "deep source": ("e.config.js", "[" * 200_000, "stack"),
    "cycle": ("e.config.js", "const o = { apps: [{}] }; o.apps[0].env = o; module.exports = o", "apps[0].env contains itself"),
    "throwing getter": ("e.config.js", "module.exports = { get apps() { throw new Error('from a getter') } }", "from a getter"),
    "throwing proxy": ("e.config.js", "module.exports = new Proxy({}, { ownKeys() { throw 7 }, has: () => true, get: () => undefined })", "throws 7"),
    "error that cannot be shown": ("e.config.js", "throw { get message() { throw 1 } }", "cannot be shown"),
    "engine names": ("e.config.js", "$ask('read', '[]')", "$ask is not defined"),
    "deep JSON": ("pm2.json", "[" * 100_000 + "]" * 100_000, "stack"),
    "less deep JSON": ("pm2.json", "[" * 150 + "]" * 150, "nested more than 100 levels"),
    "deep YAML": ("pm2.yml", "[" * 100_000, "nested more than 100 levels"),
    "deep YAML blocks": ("pm2.yml", "\n".join(" " * i + "a:" for i in range(150)), "nested more than 100 levels"),
    "deep TOML": ("e.toml", "a = " + "[" * 100_000, "nested too deeply"),
    "alias bomb": ("pm2.yml", BOMB, "more than 200000 values"),
    "alias of itself": ("pm2.yml", "a: &a [*a]", "is an alias of what it stands in"),
    "merge of itself": ("pm2.yml", "a: &a {<<: *a}", "is an alias of what it stands in"),
    "empty": ("e.config.js", " \n", "is empty"),
    "NUL": ("pm2.yml", "apps: \0", "NUL byte"),
    "too large": ("pm2.json", " " * (1 << 20) + "{}", "larger than 1024 KiB"),
    "slow YAML": ("pm2.yml", "- {a: b, c: [d, e]}\n" * 50_000, "takes longer than"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_is_refused_in_time_with_one_clear_error(
    case: str, read_files: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile file is refused with a reason, not later than a loop would be, and without a process left."""
    name, text, why = HOSTILE[case]
    if "takes longer" in why:
        monkeypatch.setattr(loading, "CPU_LIMIT_S", 1)
    with pytest.raises(ConfigError) as raised:
        read_files({name: text})
    message = str(raised.value)
    assert message.startswith(("the ecosystem", name))
    assert why in message
    assert "Traceback" not in message
    assert "\n" not in message
    assert len(message) < 1000


IN_NODE = {
    "endless loop": ("while (true);", "ended before"),
    "never settled": ("module.exports = new Promise(() => {})", "never settled"),
    "ignores the alarm": ("process.on('SIGALRM', () => {}); module.exports = new Promise((r) => setTimeout(r, 60000))", "takes longer"),
    "exit": ("process.exit(0)", "process.exit() is refused"),
    "child process": ("require('child_process').spawnSync('sleep', ['60'])", "child_process.spawnSync() is refused"),
    "detached child": ("import('node:child_process').then((c) => c.spawn('sleep', ['60'], { detached: true })).then(() => 1)", "refused"),
    "memory": ("const a = []; while (true) a.push(Buffer.alloc(1e8))", "allocation failed"),
    "throws": ("\nnull.x", "e.config.js:2:"),
    "syntax": ("(", "e.config.js:1"),
    "rejects": ("Promise.reject(new Error('later')); module.exports = new Promise((r) => setTimeout(r, 60000))", "later"),
}  # fmt: skip


@pytest.mark.skipif(shutil.which("node", path=ENV["PATH"]) is None, reason="no node")
@pytest.mark.parametrize("case", IN_NODE)
def test_is_refused_in_node_as_well(case: str, read_files: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a package needs Node, the same rules hold in Node."""
    code, why = IN_NODE[case]
    if "takes longer" in why or "ended before" in why:
        monkeypatch.setattr(loading, "CPU_LIMIT_S", 1)
    if "takes longer" in why:
        monkeypatch.setattr(node, "TIME_LIMIT_S", 2.0)
    files = {
        "e.config.js": f"const p = require('p'); {code if case != 'detached child' else 'module.exports = ' + code}",
        "node_modules/p/index.js": "require('v8').serialize(1)",  # which the engine has not
    }
    with pytest.raises(ConfigError) as raised:
        read_files(files)
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["e.config.js", "pm2.json", "pm2.yml", "e.toml"])
@pytest.mark.parametrize("alphabet", ["bytes", "ascii", "code"])
def test_a_million_random_characters(name: str, alphabet: str, read_files: Reader) -> None:
    """Random input of a million bytes is refused in every language."""
    dice = random.Random(alphabet)
    letters = {"bytes": range(256), "ascii": range(32, 127), "code": b"{}[]()'\"`/*:;,=-#&!<>\\ \nabz019."}[
        alphabet
    ]
    with pytest.raises(ConfigError, match=name):
        read_files({name: bytes(dice.choices(list(letters), k=1_000_000))})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("{}".encode("utf-16"), "UTF-16"),
        ("{}".encode("utf-32"), "UTF-16 or UTF-32"),
        ("{}".encode("utf-16-le"), "NUL"),
        (b'{\n"a": "\xe9"}', "pm2.json:2:7: byte 0xe9 is not UTF-8"),
    ],
)
def test_other_encodings_are_named(data: bytes, why: str, read_files: Reader) -> None:
    """A file that is not UTF-8 is refused with the remedy."""
    with pytest.raises(ConfigError) as raised:
        read_files({"pm2.json": data})
    assert why in str(raised.value)
    assert "UTF-8" in str(raised.value)


def test_byte_order_mark_is_fine(read_files: Reader) -> None:
    """UTF-8 with a byte order mark is UTF-8, in every language."""
    for name, text in {
        "pm2.json": '{"script": "a"}',
        "pm2.yml": "script: a",
        "e.toml": 'script = "a"',
        "e.config.js": "exports.script = 'a'",
    }.items():
        assert read_files({name: b"\xef\xbb\xbf" + text.encode()}).apps == ({"script": "a"},)


def _make_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.mkdir, "is a directory"),
        (_make_fifo, "did not end within 0.2 s"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda _path: None, "No such file"),
    ],
)
def test_what_is_no_file_is_refused(
    make: object, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, a FIFO that nobody fills, a loop of links and nothing at all are told apart, without hanging."""
    monkeypatch.setattr(files, "PATIENCE_S", 0.2)
    assert callable(make)
    make(tmp_path / "pm2.json")
    with pytest.raises(ConfigError, match=why):
        read(tmp_path / "pm2.json", env=ENV, argv=[], cpus=1)


def test_other_files_of_a_configuration_are_limited_too(read_files: Reader, tmp_path: Path) -> None:
    """Reading a device or a FIFO from JavaScript fails instead of hanging."""
    os.mkfifo(tmp_path / "fifo")
    for path in ("/dev/zero", tmp_path / "fifo"):
        with pytest.raises(ConfigError, match="EINVAL: not a regular file"):
            read_files({"e.config.js": f"require('fs').readFileSync('{path}')"})


def test_writing_is_quietly_not_done(read_files: Reader, tmp_path: Path) -> None:
    """A configuration that makes its log folder is read, the folder is not made, and a notice says so."""
    document = read_files({"e.config.js": f"require('fs').mkdirSync('logs', {{ recursive: true }}); {APP}"})
    assert document.notices == (
        "e.config.js: fs.mkdir of logs was not done: a configuration changes no files",
    )
    assert not (tmp_path / "logs").exists()


def test_a_fifo_that_somebody_fills_is_read(tmp_path: Path) -> None:
    """`pidone <(make-ecosystem)`: what comes through a pipe is waited for."""
    fifo = tmp_path / "pm2.json"
    os.mkfifo(fifo)
    with subprocess.Popen(["/bin/sh", "-c", f'sleep 0.3; echo \'{{"script": "a"}}\' > {fifo}']):
        assert read(fifo, env=ENV, argv=[], cpus=1).apps == ({"script": "a"},)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/urandom"])
def test_an_endless_file_is_too_large(name: str) -> None:
    """Size is bounded, whatever the file is."""
    with pytest.raises(ConfigError, match="larger than 1024 KiB"):
        read(Path(name), env=ENV, argv=[], cpus=1)


def test_the_engine_never_enters_the_process_that_asks(tmp_path: Path) -> None:
    """Whoever has a file read in a child keeps no engine, no parser and no descriptor of it."""
    (tmp_path / "e.config.js").write_text(APP)
    (tmp_path / "e.yml").write_text("script: a")
    code = """if True:
        import os, sys
        from pathlib import Path
        from pidone.ecosystem.formats import read
        from pidone.supervise.run.loading import in_child
        before = os.listdir("/proc/self/fd")
        for name in ("e.config.js", "e.yml"):
            print(in_child(lambda: read(Path(name), env={}, argv=[], cpus=1)).apps)
        assert os.listdir("/proc/self/fd") == before
        print([name for name in ("_quickjs", "yaml", "tomllib", "subprocess", "ctypes", "threading") if name in sys.modules])
    """
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "runtime")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines() == ["({'script': 'a.js'},)", "({'script': 'a'},)", "[]"]


_READ_BOTH = """if True:
    import os
    from pathlib import Path
    from pidone.ecosystem.formats import read
    from pidone.supervise.run.loading import in_child
    assert os.getuid() == 65534
    for name in ("plain.config.js", "package.config.js"):
        print(in_child(lambda: read(Path(name), env={"PATH": "/usr/bin:/bin"}, argv=[], cpus=1)).apps)
"""

_MAY_READ_ALL = "+dac_override,+dac_read_search"  # the interpreter may lie in root's home
_AS_NOBODY = [
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *(f"--inh-caps=-all,{_MAY_READ_ALL}", f"--ambient-caps=-all,{_MAY_READ_ALL}"),
]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_an_ordinary_user_can_read(root: None) -> None:
    """The limits of the child bind an ordinary user too, and still let Node start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "plain.config.js").write_text(APP)
        needs_node = shutil.which("node", path=ENV["PATH"]) is not None
        (folder / "package.config.js").write_text(f"{'require(`p`);' if needs_node else ''} {APP}")
        (folder / "node_modules" / "p").mkdir(parents=True)
        (folder / "node_modules" / "p" / "index.js").write_text("require('v8').serialize(1)")
        result = subprocess.run(
            [*_AS_NOBODY, sys.executable, "-c", _READ_BOTH],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "runtime")},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.stdout.splitlines() == ["({'script': 'a.js'},)"] * 2, result.stderr
