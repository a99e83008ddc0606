"""Coverage reports read by the library, and Codecov's own uploader against a server of ours."""

import base64
import json
import zlib
from contextlib import contextmanager

import pytest

from delivery.checks.coverage import Covered
from delivery.errors import CheckFailed
from tasks.checks.coverage import LARGEST_LCOV, read_lcov, upload_coverage
from tasks.workspace.checkout import Source
from tasks.workspace.program_environment import program_environment
from tests.answering import Answering

LCOV = """TN:
SF:src/a.ts
FN:1,main
FNDA:1,main
DA:1,1
DA:2,0
DA:3,4
BRDA:2,0,0,1
BRDA:2,0,1,-
LF:3
LH:2
BRF:2
BRH:1
end_of_record
SF:{absolute}/src/deep/b.ts
DA:1,0
LF:1
LH:0
end_of_record
"""


ROOT = "/workspace/source"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    return Source("a" * 40, "b" * 40, "refs/heads/main", folder, "x", "", "", "", True)


def read(text, folder="."):
    content = None if text is None else text.encode()
    return read_lcov(content, "coverage/lcov.info", f"{ROOT}/{folder}", ROOT)


def test_totals_and_files_are_read():
    coverage = read(LCOV.replace("{absolute}", ROOT))

    assert coverage.total == Covered(2, 4, 1, 2)
    assert coverage.files == {
        "src/a.ts": Covered(2, 3, 1, 2),
        "src/deep/b.ts": Covered(0, 1),
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("<html>", "names no file; is it an lcov report"),
        (LCOV[: LCOV.rindex("LF:1")], "is cut off: 2 files begin, 1 end"),
        ("SF:a\nDA:x,1\nend_of_record\n", "is malformed"),
        ("SF:a\nDA:1\nend_of_record\n", "is malformed"),
        ("SF:a\nBRDA:1,2\nend_of_record\n", "is malformed"),
        ("SF:a\nBRF:many\nend_of_record\n", "is malformed"),
        ("SF:a\nend_of_record\n", "counts no line"),
        (None, "was not written"),
        ("x" * (LARGEST_LCOV + 1), "is larger than 10 MB"),
    ],
)
def test_a_report_that_measured_nothing_is_no_figure(text, why):
    with pytest.raises(CheckFailed, match=f"coverage/lcov.info {why}") as caught:
        read(text)
    assert "lcov" in caught.value.hint


def test_paths_are_those_of_the_repository_also_in_a_sub_folder():
    text = "SF:a.ts\nDA:1,1\nend_of_record\n"

    assert list(read(text, "apps/web").files) == ["apps/web/a.ts"]


@contextmanager
def codecov(status=200):
    """As much of Codecov's upload protocol as its own uploader asks for."""
    with Answering(status) as server:
        server.body = {"raw_upload_location": f"{server.url}/storage", "url": "https://x/y"}
        if status >= 400:
            server.body = {"detail": f"refused with {status}"}
        yield server


@pytest.fixture
def upload(source, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    environment = program_environment(tmp_path / "home", tmp_path / "cache")

    def upload_it(url, slug="kanvaro/app", **how):
        upload_it.said = []
        return upload_coverage(
            source,
            LCOV.replace("SF:{absolute}/", "SF:").encode(),
            slug,
            "CANARY-codecov",
            environment=environment,
            logs=logs,
            log=upload_it.said.append,
            base_url=url,
            **how,
        )

    return upload_it


def test_codecov_is_told(upload, source):
    with codecov() as server:
        assert upload(server.url) is None

    paths = [request.path for request in server.requests]
    assert any(f"{source.revision}/reports" in path for path in paths)
    assert any("kanvaro" in path for path in paths)
    assert server.requests[0].authorization == "token CANARY-codecov"
    [stored] = [request for request in server.requests if request.path == "/storage"]
    assert b"lcov.info" in stored.body
    assert b"SF:src/deep/b.ts" in _uploaded(stored.body)


def _uploaded(body):
    """The report in what Codecov's uploader sent: compressed, in base64, in JSON."""
    [report] = json.loads(body)["coverage_files"]
    return zlib.decompress(base64.b64decode(report["data"]))


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_of_codecov_is_a_warning(upload, status):
    with codecov(status) as server:
        warning = upload(server.url)

    assert warning.startswith("coverage was not sent to Codecov (exit code ")
    assert f"refused with {status}" in warning
    assert "CANARY" not in warning + "".join(upload.said)


def test_a_codecov_that_does_not_answer_is_a_warning_in_time(upload):
    warning = upload("http://127.0.0.1:9", timeout_s=4)

    assert warning.startswith("coverage was not sent to Codecov")


def test_a_strange_repository_name_is_not_sent(upload):
    assert "not of the form owner/name" in upload("http://127.0.0.1:9", slug="--help/x")


@pytest.mark.parametrize("line", ["BRF:" + "9" * 4_200, "BRH:" + "9" * 4_200, "BRF:-5", "BRH:1e9"])
def test_a_count_that_counts_nothing_is_malformed(line):
    """Python writes no percentage of a number of 4,200 digits."""
    with pytest.raises(CheckFailed, match="is malformed") as caught:
        read(f"SF:a.ts\nDA:1,1\n{line}\nend_of_record\n")

    assert len(str(caught.value)) < 400
