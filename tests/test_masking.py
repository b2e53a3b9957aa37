"""What nobody may see, in every way that people write it."""

import pytest

from pidone.masked_args import mask, mask_args
from pidone.masking import MASK, is_secret, mask_named, mask_text

SECRET = "hunter2"


@pytest.mark.parametrize(
    "name",
    [
        *("MYSQL_PWD", "DB_PWD", "DB_PW", "PW", "DBPASS", "PGPASSWORD", "POSTGRES_PASSWORD", "API_KEY"),
        *("GITHUB_TOKEN", "SENTRY_DSN", "HTTP_AUTH", "X-Api-Key", "Authorization", "db.password"),
        *("jwtSigner", "SLACK_WEBHOOK", "AWS_SECRET_ACCESS_KEY", "aws_session_token", "REDISCLI_AUTH"),
        *("DBPW", "ROOTPW", "TOTP", "MFA_CODE", "WALLET_SEED", "SNMP_COMMUNITY"),
        *("rootPw", "dbPW", "GITLAB_PAT", "AZURE_SAS", "SIM_PIN", "OTP_SEED", "CSRF", "NONCE", "COOKIE"),
        *("WIFI_PSK", "HASH_PEPPER", "MNEMONIC", "DB_KENNWORT", "CONTRASENA", "SENHA_BD", "WACHTWOORD"),
    ],
)  # fmt: skip
def test_names_that_are_secrets(name: str) -> None:
    """Their values are never shown."""
    assert is_secret(name)
    assert mask({name: SECRET}) == {name: MASK}


@pytest.mark.parametrize(
    "name",
    [
        "PWD",
        "OLDPWD",
        "PATH",
        "SSH_AUTH_SOCK_PATH",
        "AUTHOR",
        "NODE_ENV",
        "PORT",
        "UPWARDS",
        "SPW3",
        "COMPAT",
        "SPIN",
        "OPTS",
    ],
)
def test_names_that_are_none(name: str) -> None:
    """They are shown as they are."""
    assert mask({name: "/some/where"}) == {name: "/some/where"}


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://user:{SECRET}@db:5432/x",
        f"postgres://user:a/{SECRET}@db/x",
        f"postgres://user:a@{SECRET}@db/x",
        f"redis://:{SECRET}@cache",
        f"https://{SECRET}@github.com/x.git",
        f"https://x/y?token={SECRET}&a=1",
        f"https://user:x@127.0.0.1:8080/?token={SECRET}",
        f"localhost:8080/?a=b&token={SECRET}",
        f"config: password={SECRET}",
        f"env='PASSWORD={SECRET} A=b'",
        f"Authorization: Bearer {SECRET}",
        f"authorization: basic {SECRET}",
        f"X-Api-Key: {SECRET}",
        f"Cookie: sid={SECRET}",
        f'{{"user": "u", "password": "{SECRET}"}}',
        f"{{'password':'{SECRET} with blanks'}}",
        f'{{"db": {{"pwd":"a\\"{SECRET}"}}}}',
        f"Server=db;User Id=u;Password={SECRET};Timeout=3",
        f"user=u password={SECRET} host=db",
        f"password: {SECRET}",
        f"'password' => '{SECRET}'",
        f"a=1%26password%3D{SECRET}",
        f'{{"password": ["x", "{SECRET}"], "a": 1}}',
        f'{{"password": {{"value": "]}}{SECRET}"}}, "a": 1}}',
        f'{{"tokens": [{{"a": "{SECRET}"',
        f'{{"log": "{{\\"password\\": \\"{SECRET}\\"}}"}}',
        f"sent Bearer {SECRET} to it",
        f"https://x/y?sv=1&sig={SECRET}&a=1",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f"Set-Cookie: session={SECRET}; Path=/",
        f"jdbc:mysql://h/d?user=u&password={SECRET}",
        f"amqp://u:{SECRET}@h//v",
    ],
)
def test_what_a_text_calls_a_secret(text: str) -> None:
    """It is gone, wherever the text stands."""
    for masked in (mask_named(text), mask_text(text), *mask_args([text]), mask({"CONFIG": text})["CONFIG"]):
        assert SECRET not in masked
        assert MASK in masked
    assert SECRET not in " ".join(mask_args(["curl", "-H", text, "x"]))
    assert SECRET not in " ".join(mask_args(["sh", "-c", f"curl -H '{text}' x"]))


@pytest.mark.parametrize(
    "args",
    [
        ["curl", "-u", f"user:{SECRET}", "x"],
        ["curl", "--user", f"user:{SECRET}", "x"],
        ["x", "--password", SECRET],
        ["x", f"--db-password={SECRET}"],
        ["x", "--api-key", SECRET],
        ["env", f"MYSQL_PWD={SECRET}", "x"],
        ["mysql", "-uroot", f"-p{SECRET}"],
        ["/usr/bin/mysqldump", f"-p{SECRET}", "db"],
        ["sshpass", "-p", SECRET, "ssh", "x"],
        ["redis-cli", "-a", SECRET],
        ["redis-server", "--requirepass", SECRET],
        ["mongosh", "-u", "root", "-p", SECRET],
        ["docker", "login", "-u", "me", "-p", SECRET],
        ["curl", f"-uroot:{SECRET}", "x"],
        ["curl", "-b", f"sid={SECRET}", "x"],
        ["java", f"-Djavax.net.ssl.keyStorePassword={SECRET}", "-jar", "x.jar"],
        ["openssl", "rsa", "-passin", f"pass:{SECRET}"],
        ["sh", "-c", f"exec x --password {SECRET} -u user:{SECRET}"],
        ["sh", "-c", f"PGPASSWORD={SECRET} psql"],
    ],
)
def test_command_lines(args: list[str]) -> None:
    """Options that say so, logins, and what some programs call otherwise."""
    shown = " ".join(mask_args(args))
    assert SECRET not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "args",
    [
        ["/usr/bin/node", "server.js", "--port", "3000", "-p", "3000"],
        ["gunicorn", "app:app", "-b", "0.0.0.0:8000", "-w", "4"],
        ["uvicorn", "main:app", "--host", "0.0.0.0"],
        ["docker", "run", "-p8080:80", "x"],
        ["run", "-u", "1000", "http://host:80/path"],
        ["sh", "-c", "a && b | c > /dev/null 2>&1"],
        ["curl", "-u", "root", "-so", "/dev/null", "http://host/"],
        ["x", '{\'a\': [1, 2], "b": {"c": 1}}'],
        ["java", "-Dx.y=z", "-jar", "/app/app.jar"],
        ["x", "tcp:5432", "exec:true", "http:/health"],
    ],
)
def test_what_is_no_secret_is_shown(args: list[str]) -> None:
    """An ordinary command line is readable."""
    assert mask_args(args) == args


def test_words_that_look_random() -> None:
    """A token is one, whatever it is called."""
    assert mask_text("x-9f86d081884c7d659a2feaa0c55ad015 and /hooks/9f86d081884c7d659a2feaa0c5/y") == (
        f"{MASK} and /hooks/{MASK}/y"
    )
