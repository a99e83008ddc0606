"""Which Dockerfile is built, and in which folder."""

import pytest

from delivery.checks.delivery_toml import parse_table
from delivery.checks.image_files import (
    beside_the_lockfile,
    build_context,
    dockerfiles,
    no_such_dockerfile,
    why_no_image,
)
from delivery.checks.table import DEFAULT_TABLE

WEB = 'folder = "apps/web"\n'


def table_of(text):
    return parse_table(text, DEFAULT_TABLE)


@pytest.mark.parametrize(
    ("text", "root", "paths", "context"),
    [
        ("", ".", ("Dockerfile", "dockerfile"), "."),
        (WEB, ".", ("apps/web/Dockerfile", "apps/web/dockerfile"), "."),
        (WEB, "apps/web", ("apps/web/Dockerfile", "apps/web/dockerfile"), "apps/web"),
        ('dockerfile = "deploy/Dockerfile"', ".", ("deploy/Dockerfile",), "."),
        (f'{WEB}dockerfile = "./a"', ".", ("apps/web/a", "a"), "."),
        (f'{WEB}dockerfile = "a"\ncontext = "apps"', ".", ("apps/web/a", "a", "apps/a"), "apps"),
        (f'{WEB}context = "apps/web/"', ".", ("apps/web/Dockerfile", "apps/web/dockerfile"),
         "apps/web"),
        ('dockerfile = "none"', ".", (), "."),
    ],
)  # fmt: skip
def test_the_dockerfile_is_the_applications_and_the_context_the_lockfiles(
    text, root, paths, context
):
    table = table_of(text)

    assert dockerfiles(table, root) == paths
    assert build_context(table, root) == context


def test_a_dockerfile_beside_the_lockfile_is_named_and_not_taken():
    table = table_of(WEB)

    assert beside_the_lockfile(table, ".") == ("Dockerfile", "dockerfile")
    assert beside_the_lockfile(table_of(""), ".") == ()
    assert why_no_image(table, "Dockerfile").endswith(
        'no apps/web/Dockerfile (delivery.toml can name Dockerfile: dockerfile = "Dockerfile")'
    )


def test_none_is_a_word_of_its_own():
    assert why_no_image(table_of('dockerfile = "none"'), None) == (
        'not applicable: delivery.toml says dockerfile = "none"'
    )


def test_a_name_that_is_missing_is_an_error_with_what_was_tried():
    table = table_of(f'{WEB}dockerfile = "Dockerfil"')

    error = no_such_dockerfile(table, dockerfiles(table, "."))

    assert "'Dockerfil', and there is no apps/web/Dockerfil or Dockerfil in" in str(error)
    assert 'dockerfile = "none"' in error.hint
