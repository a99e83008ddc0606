import pytest

from delivery.credentials.ses_password import smtp_password
from delivery.errors import SecretMalformed


@pytest.mark.parametrize(
    ("region", "secret_key", "password"),
    [
        ("eu-central-1", "some+secret+key", "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"),
        ("eu-central-1", "another+secret+key", "BBbphbrQmrKMx42d1N6+C7VINYEBGI5v9VsZeTxwskfh"),
        ("us-west-1", "some+secret+key", "BH+jbMzper5WwlwUar9E1ySBqHa9whi0GPo+sJ0mVYJj"),
        ("us-west-1", "another+secret+key", "BKVmjjMDFk/qqw8EROW99bjCS65PF8WKvK5bSr4Y6EqF"),
    ],
)
def test_the_password_is_the_one_that_is_published_for_the_key(region, secret_key, password):
    """The vectors of terraform-provider-aws, TestSESSMTPPasswordFromSecretKeySigV4."""
    assert smtp_password(secret_key, region) == password


@pytest.mark.parametrize("region", ["", "EU-CENTRAL-1", "eu central 1", "eu-central-1\n", "eu"])
def test_what_is_no_region_is_refused(region):
    with pytest.raises(SecretMalformed, match="region"):
        smtp_password("some+secret+key", region)


def test_an_empty_key_makes_no_password():
    with pytest.raises(SecretMalformed, match="empty"):
        smtp_password("", "eu-central-1")
