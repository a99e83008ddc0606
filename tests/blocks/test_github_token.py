"""A token that was copied badly is refused in words, before it stands in a header of HTTP."""

import pytest

from blocks.github_app import usable_token
from delivery.errors import ConfigurationError


@pytest.mark.parametrize("token", ["ghp_a1", " ghp_a1\n", "ghp_a1\r\n"])
def test_white_space_around_a_token_is_left_out(token):
    assert usable_token(token, "github") == "ghp_a1"


@pytest.mark.parametrize("token", ["ghp_tökén", "ghp_a1 ghp_a2", "ghp\x00", "“ghp_a1”", "ghp_a1…"])
def test_a_token_that_no_header_takes_is_refused_and_not_quoted(token):
    with pytest.raises(ConfigurationError, match="registered as 'github'") as raised:
        usable_token(token, "github")

    assert "ghp" not in f"{raised.value} {raised.value.hint}"
