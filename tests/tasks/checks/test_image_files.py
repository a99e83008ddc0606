"""A commit's Dockerfile is found, and its absence is said where somebody named it."""

import pytest

from delivery.errors import ConfigurationError, RequestRefused
from tasks.checks.image_files import dockerfile_of, why_not_built
from tasks.checks.plan import plan_of
from tasks.workspace.checkout import check_out
from tests.tasks.workspace.test_checkout import Repository

LOCK = '{"lockfileVersion": 3}'
WEB = 'folder = "apps/web"\n'


@pytest.fixture
def committed(tmp_path):
    """Commit files, and return the commit with the plan of its checks."""

    def commit(files):
        repository = Repository(tmp_path / "repository")
        for name, text in {"package.json": "{}", "package-lock.json": LOCK, **files}.items():
            path = repository.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        revision = repository.commit()
        folders = (tmp_path / "source", tmp_path / "cache")
        source = check_out(str(repository.path), revision, "main", *folders)
        return source, plan_of(source, None, "moderate")

    return commit


WORKSPACE = {
    "package.json": '{"private": true, "workspaces": ["apps/*"]}',
    "apps/web/package.json": '{"name": "web"}',
}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"Dockerfile": "FROM a\n"}, "Dockerfile"),
        ({"dockerfile": "FROM a\n"}, "dockerfile"),
        (
            {**WORKSPACE, "delivery.toml": WEB, "apps/web/Dockerfile": "FROM a\n"},
            "apps/web/Dockerfile",
        ),
        (
            {
                **WORKSPACE,
                "delivery.toml": f'{WEB}dockerfile = "docker/web.Dockerfile"\n',
                "docker/web.Dockerfile": "FROM a\n",
            },
            "docker/web.Dockerfile",
        ),
        ({"Dockerfile": "FROM a\n", "delivery.toml": 'dockerfile = "none"\n'}, None),
        ({}, None),
    ],
)
def test_the_dockerfile_of_a_commit(committed, files, found):
    source, plan = committed(files)

    assert dockerfile_of(source, plan.table, plan.manager.root) == found
    assert (why_not_built(source, plan.table, plan.manager.root) == "") is (found is not None)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('dockerfile = "Dockerfil"\n', "names the Dockerfile 'Dockerfil', and there is no Dockerf"),
        ('dockerfile = "deploy"\n', "there is no deploy in this revision"),
        ('context = "app"\n', "names the context 'app', and there is no such folder"),
        ('context = "Dockerfile"\n', "there is no such folder"),
    ],
)
def test_what_delivery_toml_names_and_is_missing_is_an_error(committed, toml, said):
    with pytest.raises(ConfigurationError, match=said):
        committed({"Dockerfile": "FROM a\n", "deploy/x": "", "delivery.toml": toml})


def test_a_dockerfile_beside_the_lockfile_is_not_taken_silently(committed):
    source, plan = committed({**WORKSPACE, "delivery.toml": WEB, "Dockerfile": "FROM a\n"})

    why = why_not_built(source, plan.table, plan.manager.root)

    assert "no apps/web/Dockerfile" in why
    assert 'dockerfile = "Dockerfile"' in why


@pytest.mark.parametrize("toml", ['context = "out"\n', 'dockerfile = "out/passwd"\n'])
def test_a_link_that_leads_out_is_refused(committed, tmp_path, toml):
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/out").symlink_to("/etc")

    with pytest.raises(RequestRefused, match="leads out of the repository"):
        committed({"Dockerfile": "FROM a\n", "delivery.toml": toml})
