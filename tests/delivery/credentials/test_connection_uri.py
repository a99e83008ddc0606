from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.uri_parser import parse_uri
from redis.connection import parse_url

from delivery.credentials.connection_uri import Login, login_of, other_account, with_login
from delivery.errors import SecretMalformed

CANARY = "hunter2-canary"
PLAIN = Login("kanvaro_b", "p")
AFTER_THE_LOGIN = [
    ("mongodb", "db.example/kanvaro?authSource=admin&appName=a@b:c"),
    ("mongodb", "one:27017,two:27018,[::1]:27019/kanvaro?replicaSet=rs0"),
    ("mongodb", "%2Ftmp%2Fmongodb-27017.sock/kanvaro"),
    ("mongodb", "db.example"),
    ("mongodb", "db.example/?tls=true"),
    ("mongodb+srv", "cluster0.example.net/kanvaro?retryWrites=true&w=majority"),
    ("redis", "127.0.0.1:6379/2"),
    ("redis", "[fe80::1]:6379"),
    ("rediss", "cache.example:6380/0?protocol=3"),
]
words = st.text(min_size=1)


@pytest.mark.parametrize(("scheme", "rest"), AFTER_THE_LOGIN)
def test_only_the_user_and_the_password_are_replaced(scheme, rest):
    changed = with_login(f"{scheme}://kanvaro_a:old@{rest}", PLAIN)

    assert changed == f"{scheme}://kanvaro_b:p@{rest}"


@given(st.sampled_from(AFTER_THE_LOGIN), words, words)
def test_any_user_and_any_password_come_back_as_they_were(kind, user, password):
    scheme, rest = kind
    login = Login(user if scheme.startswith("mongodb") else f"u{user}", password)
    changed = with_login(f"{scheme}://kanvaro_a:old@{rest}", login)

    assert login_of(changed) == login
    assert changed.startswith(f"{scheme}://")
    assert changed.endswith(f"@{rest}")
    assert with_login(changed, login) == changed


@given(words, words)
def test_pymongo_reads_the_same_login(user, password):
    uri = with_login("mongodb://a:b@one:27017,[::1]:27019/kanvaro", Login(user, password))
    read = parse_uri(uri)

    assert (read["username"], read["password"]) == (user, password)
    assert read["nodelist"] == [("one", 27017), ("::1", 27019)]


@given(words, words)
def test_redis_py_and_a_plain_url_parser_read_the_same_login(user, password):
    uri = with_login("rediss://a:b@cache.example:6380/2", Login(user, password))
    read, plain = parse_url(uri), urlsplit(uri)

    assert (read["username"], read["password"], read["db"]) == (user, password, 2)
    assert (unquote(plain.username), unquote(plain.password)) == (user, password)


@pytest.mark.parametrize(
    ("uri", "login"),
    [
        ("mongodb://kanvaro:p%40ss%2Fword@h/db", Login("kanvaro", "p@ss/word")),
        ("mongodb://kanvaro:a+b@h/db", Login("kanvaro", "a+b")),
        ("redis://kanvaro:%C3%A4@h", Login("kanvaro", "ä")),
    ],
)
def test_a_uri_written_by_hand_is_read_as_the_application_reads_it(uri, login):
    assert login_of(uri) == login


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        (f"postgres://kanvaro:{CANARY}@h/db", "no mongodb://"),
        (f"MONGODB://kanvaro:{CANARY}@h/db", "no mongodb://"),
        (f"mongodb://kanvaro:{CANARY}@", "no mongodb://"),
        (f"mongodb://kanvaro:{CANARY}@x@h/db", "no mongodb://"),
        (f"mongodb://kanvaro:{CANARY}:x@h/db", "no mongodb://"),
        (f"mongodb://kanvaro:{CANARY}#x@h/db", "no mongodb://"),
        (f"mongodb://kanvaro:{CANARY} @h/db", "no mongodb://"),
        (f"mongodb://kanvaro:{CANARY}@h/db\n", "no mongodb://"),
        (f"mongodb://kanvaro:{CANARY}%zz@h/db", "password .* write %25"),
        (f"mongodb://kanvaro:{CANARY}%@h/db", "password .* write %25"),
        (f"mongodb://kanvaro:{CANARY}%ff@h/db", "password .* not UTF-8"),
        (f"mongodb://:{CANARY}@h/db", "no user"),
        (f"mongodb://h/{CANARY}", "no user"),
        (f"mongodb://{CANARY}@h/db", "no password"),
        (f"mongodb://{CANARY}:@h/db", "no password"),
        (f"redis://{CANARY}@h", "no password"),
        (f"redis://:{CANARY}@h", "no user of its own"),
        (f"rediss://default:{CANARY}@h", "no user of its own"),
        (f"redis://{CANARY}", "no user of its own"),
        ("", "no mongodb://"),
    ],
)
def test_a_uri_without_a_login_that_can_be_rotated_is_refused_and_not_quoted(uri, why):
    with pytest.raises(SecretMalformed, match=why) as refused:
        login_of(uri)

    assert CANARY not in f"{refused.value} {refused.value.hint}"
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@given(st.text())
def test_any_text_is_read_or_refused_in_our_words(text):
    try:
        login = login_of(f"mongodb://{text}")
    except SecretMalformed:
        return
    assert login.user
    assert login.password


@pytest.mark.parametrize("login", [Login("", "p"), Login("u", ""), Login("u", "\ud800")])
def test_a_login_that_cannot_be_written_is_refused(login):
    with pytest.raises(SecretMalformed):
        with_login("mongodb://a:b@h", login)


def test_a_login_does_not_show_its_password():
    assert CANARY not in repr(Login("kanvaro", CANARY))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("kanvaro_a", "kanvaro_b"),
        ("kanvaro_b", "kanvaro_a"),
        ("kanvaro", "kanvaro_a"),
        ("kanvaro_c", "kanvaro_c_a"),
        ("a", "a_a"),
        ("my_app", "my_app_a"),
        ("my_app_a", "my_app_b"),
    ],
)
def test_two_accounts_take_turns(name, other):
    assert other_account(name) == other


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,50}", fullmatch=True))
def test_the_other_account_is_another_and_after_that_they_alternate(name):
    first = other_account(name)

    assert first != name
    assert other_account(other_account(first)) == first


@pytest.mark.parametrize("name", ["", "a b", "kan\nvaro", "~x", "ä", "x" * 61, ">secret"])
def test_a_name_that_not_every_database_takes_is_refused(name):
    with pytest.raises(SecretMalformed):
        other_account(name)
