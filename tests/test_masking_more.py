"""Secrets in less usual spellings, and ordinary words that look like them."""

import time

import pytest

from pidone.ecosystem.formats.secrets import quote, redact
from pidone.masked_args import mask, mask_args
from pidone.masking import MASK, mask_named, mask_text

SECRET = "hunter2"
LONG = "hunter2hunter2hunter2hunter2hunter2hunter2"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJlaHVudGVyMg"
TOKENS = [
    JWT,
    f"npm_{LONG[:36]}",
    f"pypi-AgEIcHlwaS5vcmc{LONG}",
    f"ghp_{LONG[:36]}",
    f"gho_{LONG[:36]}",
    f"ghs_{LONG[:36]}",
    f"github_pat_{LONG[:22]}_{LONG}",
    f"glpat-{LONG[:20]}",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
    "xapp-1-A0123-123-hunter2hunter2",
    f"sk_live_{LONG[:24]}",
    f"rk_live_{LONG[:24]}",
    f"AIzaSy{LONG[:33]}",
    f"ya29.{LONG}",
    f"hvs.{LONG}",
    f"dckr_pat_{LONG[:27]}",
    f"shpat_{LONG[:32]}",
    f"dop_v1_{LONG}",
    f"SG.{LONG[:22]}.{LONG}",
    f"AGE-SECRET-KEY-1{LONG.upper()}",
    f"sk-ant-api03-{LONG}",
    f"s.{LONG[:24]}",
    f"$2b$12${LONG}",
    f"$6$salt${LONG}",
    f"$argon2id$v=19$m=65536${LONG}",
]


@pytest.mark.parametrize(
    "text",
    [
        # running text
        f"login failed with password {SECRET}",
        f"the password is {SECRET}",
        f"password '{SECRET}' was refused",
        f'the secret was "{SECRET}"',
        f"using token {SECRET} for it",
        f"wrong passphrase {SECRET}!",
        f"api key {SECRET} has expired",
        # headers
        f"Authorization: Api-Key {SECRET}",
        f"Authorization: ApiKey {SECRET}",
        f"authorization=Token {SECRET}",
        f"Authorization: Splunk {SECRET}",
        f"Authorization: Digest username=x, response={SECRET}",
        f"Authorization: AWS4-HMAC-SHA256 Credential=A/b/c, SignedHeaders=host, Signature={SECRET}",
        f"sent Api-Key {SECRET}",
        "Basic dXNlcjpodW50ZXIy",
        f"Proxy-Authorization: Basic {SECRET}",
        f"sig={SECRET}",
        f"with sig={SECRET} in it",
        f"https://x/y#access_token={SECRET}",
        # YAML
        f"password: |\n  {SECRET} and\n  more {SECRET}\nuser: x",
        f"a:\n  password: >-\n    one\n    {SECRET}\n  b: 1",
        f"token: |2-\n   x\n\n   {SECRET}",
        f"password:\n  {SECRET}",
        f"passwords:\n  - one\n  - {SECRET}\nuser: x",
        f"password: &a {SECRET}",
        f"password: !!str {SECRET}",
        # connection strings
        f"Server=db;Uid=u;Pwd={SECRET};",
        f"Server=db;Password='a;{SECRET}';x=1",
        f"Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey={SECRET}",
        f"AccountName=n;AccountKey={SECRET}==;EndpointSuffix=x",
        f"jdbc:oracle:thin:scott/{SECRET}@//db:1521/x",
        f"jdbc:oracle:thin:scott/{SECRET}@db:1521:x",
        f"jdbc:oracle:oci:scott/{SECRET}@db",
        f"jdbc:sqlserver://h:1;user=u;password={SECRET}",
        f"user:{SECRET}@tcp(db:3306)/x",
        f"user:{SECRET}@unix(/run/x)/x",
        f"amqps://u:{SECRET}@h:5671/v?heartbeat=1",
        f"mongodb+srv://u:{SECRET}@h/x",
        f"host=h dbname=x user=u password='{SECRET}'",
        f"DRIVER={{x}};SERVER=h;UID=u;PWD={{{SECRET}}}",
        # code
        f"os.environ['DB_PASSWORD'] = '{SECRET}'",
        f'process.env.API_TOKEN = "{SECRET}"',
        f"os.environ.setdefault('PASSWORD', '{SECRET}')",
        f"client.login('user', '{SECRET}')",
        f"x.setPassword('{SECRET}')",
        f"auth=('user', '{SECRET}')",
        f"const password = `{SECRET}`",
        f'["mysql", "--password", "{SECRET}"]',
        # documents
        f"<password>{SECRET}</password>",
        f"<password><![CDATA[{SECRET}]]></password>",
        f'password = """\n{SECRET}\n"""',
        f'<db:dbPassword xml:id="x">{SECRET}</db:dbPassword>',
        f'<add key="Password" value="{SECRET}"/>',
        f"<property name='api.token' value='{SECRET}' />",
        # keys
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}",
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{SECRET}\n-----END PGP PRIVATE KEY BLOCK-----",
        f"-----BEGIN PRIVATE KEY-----\\n{SECRET}\\n-----END PRIVATE KEY-----",
        *(f"it said {token}, then" for token in TOKENS),
        *(f"https://x/{token}/y" for token in TOKENS),
        "https://hooks.slack.com/services/T0HUNTER2/B0HUNTER2/hunter2hunter2",
        "https://discord.com/api/webhooks/123/hunter2hunter2",
        "https://api.telegram.org/bot12345678:hunter2hunter2hunter2hunter2hunter2/getMe",
    ],
)
def test_secrets_in_texts(text: str) -> None:
    """Nothing of them is left, as a text, a variable and an argument."""
    hidden = [SECRET, *TOKENS, "dXNlcjpodW50ZXIy", "B0HUNTER2"]
    for masked in (mask_named(text), mask_text(text), *mask_args([text]), mask({"CONFIG": text})["CONFIG"]):
        assert [each for each in hidden if each in masked] == []
        assert MASK in masked


@pytest.mark.parametrize("token", TOKENS)
def test_messages_know_tokens_by_their_form(token: str) -> None:
    """Those about a file, too, whatever a value is called there."""
    assert token not in redact(f"config.toml:3: x = {token}", ())


@pytest.mark.parametrize(
    "value",
    [
        f"--password {SECRET}",
        f"-Xmx1g --auth-token {SECRET} --verbose",
        f"-storepass {SECRET}",
        f"--db-passwd '{SECRET} x'",
        f"--concurrency 4 --api-key {SECRET}",
        f"app --login-secret \\\n  {SECRET}",
        f"mysqldump -uroot -p{SECRET} db",
        f"nice curl -s -u admin:{SECRET} http://x",
        f"sshpass -p {SECRET} ssh h",
    ],
)
def test_a_variable_that_holds_options(value: str) -> None:
    """As `JAVA_OPTS` and `CELERYD_OPTS` do."""
    assert SECRET not in mask({"APP_OPTS": value})["APP_OPTS"]


@pytest.mark.parametrize(
    "value",
    [
        "--port 80 --no-auth --verbose",
        "--max-tokens 5",
        "-Xmx1g -Dx=y",
        "a - b",
        "--no-token-- x",
        "grep -u 5 -p x  --a=b",
        "--password",
    ],
)
def test_a_variable_that_holds_other_options(value: str) -> None:
    """They are readable."""
    assert mask({"APP_OPTS": value})["APP_OPTS"] == value


@pytest.mark.parametrize(
    "text",
    [
        "password authentication failed for user x",
        "password required",
        "the password is wrong",
        "a password was expected",
        "no password given, token expired",
        "Unexpected token in JSON at position 5",
        "unexpected token 'x'",
        "token 5 of 12",
        "secret management",
        "api key rotation every day",
        "the secret is out",
        "basic knowledge of it",
        "Basic authentication",
        "sig=SIGTERM",
        "sig=15",
        "design=round",
        "jdbc:postgresql://db:5432/x",
        "https://example.com/a/b?c=d",
        "tcp(db:3306)",
        "user@tcp(db:3306)/x",
        "http://127.0.0.1:8080/health",
        "1.2.3.4:80, v1.25.3-alpine",
        "skip-ant, ask-me, SG.x, hvs.y",
        "npm_config_cache and npm_lifecycle_event",
        "eyJ is how they begin",
        "login(user, name)",
        "render('page', 'title')",
        "2026-11-29T14:00:00Z ready on port 3000",
        "text: |\n  password\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "columns 'name', 'email'",
        "pass through, compass 12b, passing 3of4",
    ],
)
def test_ordinary_texts(text: str) -> None:
    """They stay as they are."""
    assert mask_named(text) == text


@pytest.mark.parametrize(
    "line",
    [
        f"mysql -u root -p{SECRET} db",
        f"mariadb-dump --user=x -p{SECRET}",
        f"sshpass -p {SECRET} ssh x",
        f"sshpass -p{SECRET} ssh x",
        f"redis-cli -h x -a {SECRET} ping",
        f"redis-cli --pass {SECRET}",
        f"valkey-cli -a {SECRET}",
        f"mongo -u x -p {SECRET}",
        f"mongodump -p{SECRET}",
        f"ldapsearch -x -D cn=a -w {SECRET}",
        f"ldapmodify -w{SECRET}",
        f"curl -u user:{SECRET} http://x",
        f"curl -sSu user:{SECRET} http://x",
        f"curl --oauth2-bearer {SECRET} http://x",
        f"curl -H 'Authorization: Api-Key {SECRET}' x",
        f"curl -b sid={SECRET} x",
        f"wget --http-password {SECRET} x",
        f"http -a user:{SECRET} x",
        f"smbclient //h/s -U user%{SECRET}",
        f"smbclient //h/s {SECRET} -U user",
        f"sqlcmd -S h -U sa -P {SECRET}",
        f"sqlcmd -U sa -P{SECRET}",
        f"bcp db.t in x -P {SECRET}",
        f"mosquitto_pub -u x -P {SECRET}",
        f"cqlsh -u x -p {SECRET}",
        f"unzip -P {SECRET} x.zip",
        f"7z x -p{SECRET} x.7z",
        f"openssl enc -k {SECRET}",
        f"openssl enc -pass pass:{SECRET}",
        f"ipmitool -U x -P {SECRET} power",
        f"snmpget -v3 -A {SECRET} -X {SECRET} h",
        f"snmpwalk -v2c -c {SECRET} h",
        f"sqlplus scott/{SECRET}@db",
        f"expdp system/{SECRET} schemas=x",
        f"htpasswd -b /etc/x user {SECRET}",
        f"htpasswd -nb user {SECRET}",
        f"rabbitmqctl add_user x {SECRET}",
        f"rabbitmqctl change_password x {SECRET}",
        f"mc alias set x http://h access {SECRET}",
        f"aws configure set aws_secret_access_key {SECRET}",
        f"vault login {SECRET}",
        f"vault login token={SECRET}",
        f"docker login -u x -p {SECRET} h",
        f"podman login -p {SECRET} h",
        f"oc login -p {SECRET} h",
        f"kubectl create secret generic x --from-literal=a={SECRET}",
        f"kubectl create secret generic x --from-literal a={SECRET}",
        f"xfreerdp /u:x /p:{SECRET} /v:h",
        f"keytool -storepass {SECRET}",
        f"lftp -u user,{SECRET} h",
        f"psql postgresql://u:{SECRET}@h/x",
        f"curl --user=user:{SECRET} http://x",
        f"curl --proxy-user=user:{SECRET} http://x",
        f"curl --cert client.pem:{SECRET} http://x",
        f"curl -E client.pem:{SECRET} http://x",
        f"ssh-keygen -t rsa -N {SECRET} -f x",
        f"rar a -hp{SECRET} x.rar",
        f"unrar x -p{SECRET} x.rar",
        f"swaks -au user -ap {SECRET}",
        f"flyctl deploy -t {SECRET}",
        f"doctl -t {SECRET} compute",
        f"ngrok authtoken {SECRET}",
        f"ngrok config add-authtoken {SECRET}",
        f"wpa_passphrase home {SECRET}",
        f"vault token revoke {SECRET}",
        f"su -c 'redis-cli -a {SECRET}' x",
        f"docker run -e DB_PASSWORD={SECRET} x",
        f"docker run --env=DB_PASSWORD={SECRET} x",
        f"docker run -eDB_PASSWORD={SECRET} x",
        f"/usr/local/bin/redis-server --requirepass {SECRET} --masterauth {SECRET}",
    ],
)
def test_programs_and_their_passwords(line: str) -> None:
    """As words, as one word for a shell, and behind the programs that start others."""
    words = [word.strip("'") for word in line.replace("'Auth", "Auth").split(" ")]
    if "'" in line:
        before, quoted, after = line.split("'")
        words = [*before.split(), quoted, *after.split()]
    for args in (words, ["tini", "--", *words], ["sh", "-c", line], ["sh", "-c", f"cd /x && exec {line}"]):
        shown = " ".join(mask_args(args))
        assert SECRET not in shown
        assert MASK in shown


@pytest.mark.parametrize(
    "line",
    [
        f'args = ["redis-cli", "-a", "{SECRET}"]',
        f'  "script": "mysql -p{SECRET}",',
        f"cmd: sqlplus scott/{SECRET}@db",
        f"- password {SECRET}",
        f'url = "postgres://u:{SECRET}@h/x"',
    ],
)
def test_lines_of_a_file_in_messages(line: str) -> None:
    """A message quotes the line, and not what stands in it."""
    assert SECRET not in quote(line)


def test_an_ordinary_line_is_quoted_as_it_is() -> None:
    """That is what it is for."""
    line = 'args = ["server.js", "--port", 3000, "-p", "80"]'
    assert quote(line) == line


@pytest.mark.parametrize(
    "code",
    [
        f"connect(password='{SECRET}')",
        f"smtp.login('me', '{SECRET}')",
        f"os.environ['TOKEN']='{SECRET}'",
        f"const secret = '{SECRET}'; run(secret)",
        f"new Client({{auth: ['me', '{SECRET}']}})",
        f"fetch('http://x/?token={SECRET}')",
        f"requests.get('http://x', auth=('me', '{SECRET}'))",
        f"fetch(u, {{headers: {{'X-Api-Key': '{SECRET}'}}}})",
    ],
)
@pytest.mark.parametrize("program", [["node", "-e"], ["python3", "-c"], ["ruby", "-e"], ["bash", "-c"]])
def test_literals_in_code(program: list[str], code: str) -> None:
    """What a line of code names."""
    shown = " ".join(mask_args([*program, code]))
    assert SECRET not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "line",
    [
        "node -e require('http').createServer().listen(3000)",
        "python -c import x; x.main('a', 'b')",
        "gunicorn -w 4 -b 0.0.0.0:80 -p /run/x.pid a:b",
        "nginx -p /srv -c /etc/nginx.conf",
        "php -S 0.0.0.0:80 -t public",
        "ssh -p 2222 me@host",
        "sqlcmd -S h -Q x",
        "docker run -p 80:80 -P -w /x image",
        "mysql -u root -P 3306 -h db",
        "mysqld --port=3306 -P3306",
        "redis-cli -h db -p 6379 -n 1",
        "redis-server /etc/redis.conf --appendonly yes",
        "psql -U me -w -p 5432 db",
        "ldapsearch -x -W -D cn=a",
        "htpasswd -c /etc/x user",
        "rabbitmqctl list_users",
        "mongod --dbpath /x --port 27017",
        "curl -sS -u me http://x/y",
        "7z a x.7z y",
        "zip -r x.zip y",
        "vault server -config /x",
        "kubectl get secrets -n default",
        "docker run --user=1000:1000 x",
        "curl --cert client.pem https://x",
        "ssh-keygen -t rsa -f x",
        "flyctl deploy --remote-only",
        "ngrok http 80",
        "vault token lookup",
        "unrar x x.rar",
        "aws s3 ls",
        "mc ls x",
        "sleep 100",
    ],
)
def test_programs_and_what_is_no_password(line: str) -> None:
    """Ports, folders and workers are readable."""
    words = line.split(" ", 2) if " -e " in line or " -c import" in line else line.split(" ")
    assert mask_args(words) == words
    assert mask_args(["sh", "-c", line])[-1] == line


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "API_TOKEN", "value": "%s"}',
        '[{\\"name\\":\\"DB_PASSWORD\\",\\"value\\":\\"%s\\"}]',
        "- name: DB_PASSWORD\n  value: %s\n- name: PORT\n  value: 80",
        '{"key":"password","value":"%s"}',
        "ALTER USER u IDENTIFIED WITH mysql_native_password BY '%s'",
        'create user u identified by "%s"',
        'Authorization: Digest username="u", realm="r", response="%s"',
        "Cookie: theme=dark; sid=%s; lang=en",
        "Set-Cookie: %s=1; Path=/",
        "PHPSESSID=%s",
        "HMAC=%s",
        "RECOVERY_PHRASE=%s",
    ],
)
def test_where_the_name_of_a_secret_stands_elsewhere(text: str) -> None:
    """In a list of variables, in SQL, in parameters and pairs of headers."""
    shown = mask_text(text % SECRET)
    assert SECRET not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "PORT", "value": "8080"}',
        "- name: LOG_LEVEL\n  value: debug",
        "he is identified by 'uid'",
        "TOKYO=9 BACKUP_DIR=/x ACCESS_LOG=/y RECOVERY_MODE=fast",
    ],
)
def test_names_that_are_like_them(text: str) -> None:
    """Values of other variables are readable; what SQL says of a user is not."""
    assert mask_text(text) == text.replace("'uid'", f"'{MASK}'")


@pytest.mark.parametrize(
    "unit", ["a" * 20, "password ", "x='", "sig=", "eyJa.", "a:b@", "password: |\n", "((((", "//:"]
)
def test_a_long_text_takes_no_longer_than_it_has_to(unit: str) -> None:
    """No pattern goes back over what it has seen: four times the text, not sixteen times the steps."""

    def took(count: int) -> float:
        text = unit * count
        began = time.process_time()
        mask_text(text)
        return time.process_time() - began

    short = min(took(2_000) for _ in range(3))
    assert took(16_000) < 40 * short + 0.2
