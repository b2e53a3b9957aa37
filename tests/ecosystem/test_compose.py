"""Several files as one."""

import os
from pathlib import Path

import pytest
from ecosystem.documents import options

from pidone.ecosystem.load import examine_file, load, read_document
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **files: str) -> None:
    """Files; `__` is a slash and `_` before the ending a dot."""
    for name, text in files.items():
        stem, _, ending = name.replace("__", "/").rpartition("_")
        path = folder / f"{stem}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(*names: str) -> Ecosystem:
    """The files, later ones over earlier ones."""
    first, *more = map(Path, names)
    return load(first, options(cwd=Path.cwd(), more=tuple(more)))


def apps(*names: str) -> dict[str, AppSpec]:
    """Their apps by name."""
    return {app.name: app for app in read(*names).apps}


BASE = '[[apps]]\nname = "api"\nscript = "/bin/api"\nenv = {A = "1", B = "1"}\ninstances = 2\n'


def test_the_including_file_wins_key_by_key(folder: Path) -> None:
    """Tables in it as well; apps that only one of them has stay."""
    write(
        folder, base_toml=BASE + '[[apps]]\nname = "w"\nscript = "/bin/w"\n[runtime]\nshutdown_delay = "1s"\n'
    )
    write(
        folder,
        e_toml='include = "base.toml"\n[[apps]]\nname = "api"\nenv = {B = "2"}\n'
        '[runtime]\nlog_level = "error"\n',
    )
    found = apps("e.toml")
    assert list(found) == ["api", "w"]
    assert (found["api"].env, found["api"].instances) == ({"A": "1", "B": "2"}, 2)
    runtime = read("e.toml").runtime
    assert (runtime.shutdown_delay, runtime.log_level) == (1.0, "error")


def test_several_files_and_a_folder(folder: Path) -> None:
    """In the order given, or of their names."""
    write(folder, d__10_toml=BASE, d__20_toml='[[apps]]\nname = "api"\ninstances = 3\n', x_txt="no ecosystem")
    assert apps("d/10.toml", "d/20.toml")["api"].instances == 3
    assert apps("d/20.toml", "d/10.toml")["api"].instances == 2
    assert apps("d")["api"].instances == 3


def test_patterns_in_the_order_of_names(folder: Path) -> None:
    """Of conf.d; none that fits is fine."""
    write(
        folder,
        conf__b_toml='[[apps]]\nname = "api"\nnice = 2\n',
        conf__a_toml=BASE.replace("instances", "nice"),
    )
    write(folder, e_toml='include = ["conf/*.toml", "none/*.toml"]\n')
    assert apps("e.toml")["api"].nice == 2


def test_folders_stay_what_they_were(folder: Path) -> None:
    """A relative cwd starts where its own file says."""
    write(folder, sub__base_toml=BASE, e_toml='include = "sub/base.toml"\n')
    (folder / "elsewhere").mkdir()
    assert apps("e.toml")["api"].cwd == str(folder / "sub")
    write(folder, e_toml='include = "sub/base.toml"\n[[apps]]\nname = "api"\ncwd = "elsewhere"\n')
    assert apps("e.toml")["api"].cwd == str(folder / "elsewhere")


def test_languages_mix(folder: Path) -> None:
    """`${` of a JavaScript file is a text, of TOML a reference."""
    (folder / "base.config.js").write_text(
        "exports.apps = [{name: 'api', script: '/bin/api', env: {A: '${HOME}'}}]"
    )
    write(folder, e_toml='include = "base.config.js"\n[[apps]]\nname = "api"\nenv = {B = "${HOME}"}\n')
    for names in (("e.toml",), ("e.toml", "base.config.js")):
        assert apps(*names)["api"].env == {"A": "${HOME}", "B": "/home/app"}


def test_messages_name_the_file_that_says_it(folder: Path) -> None:
    """With its own line."""
    write(
        folder,
        base_toml=BASE + "nice = 99\n",
        e_toml='\ninclude = "base.toml"\n[[apps]]\nname = "api"\nmax_age = "x"\n',
    )
    with pytest.raises(ConfigError) as caught:
        read("e.toml")
    lines = str(caught.value).split("\n")
    assert lines[0].startswith('base.toml:6: app "api": nice = 99')
    assert lines[1].startswith('e.toml:5: app "api": max_age = "x"')
    examined = examine_file(Path("e.toml"), options(cwd=folder))
    assert examined.sources["api"]["nice"] == "base.toml"
    assert examined.sources["api"]["max_age"] == "e.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('include = "nowhere.toml"\n', 'e.toml:1: include = "nowhere.toml": no such file'),
        ("include = 5\n", "e.toml:1: include: expected a path or a list of paths"),
        ('include = "e.toml"\n', "e.toml: include goes in a circle: e.toml -> e.toml"),
    ],
)
def test_what_cannot_be_included(folder: Path, text: str, message: str) -> None:
    """It is said where."""
    write(folder, e_toml=text)
    with pytest.raises(ConfigError) as caught:
        read("e.toml")
    assert message in str(caught.value)


def test_a_procfile_is_a_file(folder: Path) -> None:
    """PORT as foreman counts it; .env is read; `release` comes first."""
    (folder / "Procfile").write_text("web: serve -p $PORT\n# no\nworker: work\n\nrelease: migrate\n")
    (folder / ".env").write_text("A=1\n")
    found = apps("Procfile")
    assert [(name, app.env["PORT"], app.env["A"]) for name, app in found.items()] == [
        ("web", "5000", "1"),
        ("worker", "5100", "1"),
        ("release", "5200", "1"),
    ]
    assert found["web"].depends_on[0].app == "release"
    assert not found["release"].autorestart
    assert found["web"].increment_var == "PORT"


@pytest.mark.parametrize("name", ["supervisord.conf", "Dockerfile", "compose.yaml", "docker-compose.yml"])
def test_other_programs_files_are_for_init(folder: Path, name: str) -> None:
    """It is said."""
    (folder / name).write_text("x")
    with pytest.raises(ConfigError, match="`pidone init` makes an ecosystem"):
        read(name)


def test_a_folder_without_any(folder: Path) -> None:
    """A folder is not guessed at."""
    os.mkdir("d")
    with pytest.raises(ConfigError, match="d: is a directory without an ecosystem file in it"):
        read("d")


def test_a_folder_counts_what_is_an_ecosystem(folder: Path) -> None:
    """A ConfigMap's `..data`, folders below, hidden files, copies and other programs' files are none."""
    write(folder, d__sub__x_toml="nothing = 1\n", d__10_toml=BASE)
    for name in (".hidden.toml", "10.toml.bak", "10.toml~", "Dockerfile", "compose.yaml", "Procfile.old"):
        (folder / "d" / name).write_text("nothing: [1\n")
    (folder / "d/..v1").mkdir()
    (folder / "d/..v1/20.toml").write_text('[[apps]]\nname = "api"\ninstances = 4\n')
    (folder / "d/..data").symlink_to("..v1")
    (folder / "d/20.toml").symlink_to("..data/20.toml")
    assert apps("d")["api"].instances == 4
    write(folder, e_toml='include = "d"\n')
    assert apps("e.toml")["api"].instances == 4


def test_a_pattern_does_not_match_its_own_file(folder: Path) -> None:
    """Nor folders."""
    write(folder, base_toml=BASE, e_toml='include = "*"\n', sub__x_toml="nothing = 1\n")
    assert list(apps("e.toml")) == ["api"]


def test_an_include_may_name_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every text of the language; one that is not set is said."""
    write(folder, base_toml=BASE, e_toml='include = "${PART}.toml"\n')
    with pytest.raises(ConfigError, match=r"e\.toml:1: include: \$\{PART\} is not set"):
        read("e.toml")
    monkeypatch.setenv("PART", "base")
    assert (
        read_document(Path("e.toml"), options(cwd=folder, environ={"PART": "base"})).apps[0]["name"] == "api"
    )


def test_members_of_tables_know_their_file(folder: Path) -> None:
    """Also those that stood there before, and the entries of lists that follow each other."""
    alert = '[[alerts]]\nrestarts_per_hour = 3\nwebhook = "https://example.org"\n'
    write(
        folder,
        base_toml=BASE + '[runtime]\nlog_level = "loud"\n' + alert,
        e_toml='include = "base.toml"\n[[apps]]\nname = "api"\nenv = {C = "1"}\n'
        '[runtime]\nadmin = "x"\n' + alert + 'apps = ["nobody"]\n',
    )
    examined = examine_file(Path("e.toml"), options(cwd=folder))
    sources = examined.sources["api"]
    assert (sources["env.A"], sources["env.C"]) == ("base.toml", "e.toml")
    told = "\n".join(examined.errors)
    assert 'base.toml:7: runtime: log_level = "loud"' in told
    assert 'e.toml:6: runtime: admin = "x"' in told
    assert "e.toml:10: alerts[1].apps" in told


def test_it_knows_all_of_its_files(folder: Path) -> None:
    """And the folders into which another one may come: `watch_config` hears of them."""
    write(
        folder, base_toml=BASE, d__1_toml=BASE, e_toml='include = ["base.toml", "c/*.toml"]\n', c__x_toml=BASE
    )
    origins = {origin.path for origin in read("e.toml", "d").origins}
    assert origins == {
        str(folder / name) for name in ("e.toml", "base.toml", "c", "c/x.toml", "d", "d/1.toml")
    }


def test_standard_input_may_be_one_of_several(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pidone e.toml - < over.toml`; once."""
    write(folder, base_toml=BASE, over_toml='[[apps]]\nname = "api"\ninstances = 7\n')
    with (folder / "over.toml").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert apps("base.toml", "-")["api"].instances == 7
    with pytest.raises(ConfigError, match="-: standard input can be read only once"):
        read("-", "-")
