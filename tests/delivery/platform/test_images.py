import pytest

from delivery.platform.images import Image

DIGEST = "sha256:" + "0" * 64


def test_an_image_is_addressed_by_its_digest():
    image = Image("1.dkr.ecr.us-east-1.amazonaws.com/team/app", DIGEST, "a" * 40)

    assert image.reference == f"1.dkr.ecr.us-east-1.amazonaws.com/team/app@{DIGEST}"


@pytest.mark.parametrize("digest", ["latest", "sha256:abc", DIGEST + "\n", ""])
def test_what_is_not_a_digest_is_never_an_address(digest):
    with pytest.raises(ValueError, match="not a digest"):
        Image("repo", digest, "a" * 40)
