"""Redis users on two nodes of a real redis-server: set, proven, counted, retired."""

from contextlib import closing

import pytest
import redis

from delivery.credentials.connection_uri import Login, login_of, with_login
from delivery.errors import (
    AccessDenied,
    ConfigurationError,
    CredentialUnfit,
    StillAccepted,
    Unreachable,
)
from sandbox.databases.redis_process import RedisNode
from tasks import confirmed
from tasks.credentials import redis_account
from tests.losing import Losing

LIVE_RULES = "~kanvaro:* resetchannels &kanvaro:* +@all -@admin -@dangerous"
LIVE = Login("kanvaro_a", "canary-live-password")
IDLE = Login("kanvaro_b", "canary idle/p@ss:word>+#%")


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(confirmed, "PAUSE_S", 0)


@pytest.fixture(scope="module")
def servers():
    with RedisNode() as primary, RedisNode(replica_of=primary) as replica:
        yield primary, replica


@pytest.fixture
def nodes(servers):
    """Both nodes as they were before a first rotation."""
    for server in servers:
        with admin(server) as client:
            client.acl_deluser(IDLE.user)
            set_user(client, LIVE.user, f"reset on >{LIVE.password} {LIVE_RULES}")
            client.acl_save()
    return [server.admin_uri for server in servers]


@pytest.fixture
def live(nodes):
    return with_login(f"{nodes[0]}/0", LIVE)


@pytest.fixture
def wanted(nodes):
    return with_login(f"{nodes[0]}/0", IDLE)


def admin(server):
    return redis.Redis.from_url(server.admin_uri, decode_responses=True)


def set_user(client, user, rules):
    client.execute_command("ACL SETUSER", user, *rules.split())


def listed(server, user):
    with admin(server) as client:
        return next((line for line in client.acl_list() if line.split()[1] == user), None)


def password_of(line):
    return [word for word in line.split() if word.startswith("#")]


def rules_of(line):
    return [word for word in line.split()[2:] if not word.startswith("#")]


def through(nodes, proxy):
    """The nodes, the first of them by way of a proxy."""
    login = login_of(nodes[0])
    return [with_login(f"redis://127.0.0.1:{proxy.port}", login), *nodes[1:]]


@pytest.fixture
def proxy(servers):
    with Losing(servers[0].port) as way:
        yield way


def test_the_idle_user_gets_the_live_ones_rules_on_every_node_and_survives_a_restart(
    servers, nodes, live, wanted
):
    redis_account.check_nodes(nodes, live)
    redis_account.set_account(nodes, live, wanted)
    redis_account.prove_account(nodes, wanted, live)

    for server in servers:
        server.restart()
        idle, model = listed(server, IDLE.user), listed(server, LIVE.user)
        assert rules_of(idle) == rules_of(model)
        assert password_of(idle) != password_of(model)
    redis_account.prove_account(nodes, wanted, live)
    redis_account.prove_account(nodes, live, live)


def test_an_idle_user_that_was_wider_is_narrowed(servers, nodes, live, wanted):
    with admin(servers[0]) as client:
        set_user(client, IDLE.user, "on nopass ~* &* +@all (~x +get)")

    redis_account.set_account(nodes, live, wanted)

    assert rules_of(listed(servers[0], IDLE.user)) == rules_of(listed(servers[0], LIVE.user))


def test_selectors_are_copied_whole(servers, nodes, live, wanted):
    for server in servers:
        with admin(server) as client:
            client.execute_command("ACL SETUSER", LIVE.user, "(~shared:* +get)", "%R~other:*")

    redis_account.set_account(nodes, live, wanted)

    redis_account.prove_account(nodes, wanted, live)
    assert "(~shared:* resetchannels -@all +get)" in listed(servers[1], IDLE.user)


def test_setting_again_changes_nothing_but_saves_what_a_dead_run_left_in_memory(
    servers, nodes, live, wanted
):
    with admin(servers[1]) as client:
        redis_account.set_account(nodes, live, wanted)
        on_disk = servers[1].acl_file
        client.acl_deluser(IDLE.user)
        client.acl_save()
        line = next(each for each in on_disk.splitlines() if IDLE.user in each)
        client.execute_command("ACL SETUSER", *line.split()[1:])
    assert IDLE.user not in servers[1].acl_file

    redis_account.set_account(nodes, live, wanted)

    assert line in servers[1].acl_file.splitlines()


@pytest.mark.parametrize("call", ["ACL SETUSER", "ACL SAVE"])
def test_a_lost_answer_while_setting_has_one_effect(servers, nodes, live, wanted, proxy, call):
    word = call.split()[1]
    proxy.lose_answer_to(word)

    redis_account.set_account(through(nodes, proxy), live, wanted)

    redis_account.prove_account(nodes, wanted, live)
    assert proxy.passed("SETUSER") == 1
    assert proxy.passed(IDLE.password) == 0  # only its hash
    assert proxy.passed("SAVE") == (2 if word == "SAVE" else 1)
    assert len(password_of(listed(servers[0], IDLE.user))) == 1
    servers[0].restart()
    redis_account.prove_account(nodes, wanted, live)


@pytest.mark.parametrize("word", ["SETUSER", "KILL", "SAVE"])
def test_a_lost_answer_while_retiring_has_one_effect(nodes, live, wanted, proxy, word, servers):
    redis_account.set_account(nodes, live, wanted)
    with closing(redis.Redis.from_url(live)) as user:
        user.ping()
        proxy.lose_answer_to(word)

        redis_account.retire_account(through(nodes, proxy), live, wanted)

        with pytest.raises(redis.ConnectionError):
            user.connection_pool.get_connection().connect()
    assert proxy.passed("SETUSER") == 1
    assert proxy.passed("KILL") == 1
    redis_account.prove_refused(nodes, live)
    redis_account.prove_account(nodes, wanted, wanted)


def test_an_open_connection_of_a_retired_user_ends(servers, nodes, live, wanted):
    redis_account.set_account(nodes, live, wanted)
    with closing(redis.Redis.from_url(live)) as user:
        user.set("kanvaro:x", 1)
        assert redis_account.count_connections(nodes, LIVE.user) == 1

        redis_account.retire_account(nodes, live, wanted)

        assert redis_account.count_connections(nodes, LIVE.user) == 0
        with pytest.raises(redis.RedisError):
            user.get("kanvaro:x")
    for server in servers:
        assert not password_of(listed(server, LIVE.user))
        server.restart()
    redis_account.prove_refused(nodes, live)


def test_retiring_again_or_one_who_is_gone_changes_nothing(servers, nodes, live, wanted):
    redis_account.set_account(nodes, live, wanted)
    redis_account.retire_account(nodes, live, wanted)
    before = servers[0].acl_file

    redis_account.retire_account(nodes, live, wanted)

    assert servers[0].acl_file == before
    with admin(servers[0]) as client:
        client.acl_deluser(LIVE.user)
    redis_account.retire_account(nodes, live, wanted)
    assert LIVE.user not in servers[0].acl_file


def test_connections_are_counted_on_every_node(nodes, live):
    with (
        closing(redis.Redis.from_url(with_login(nodes[0], LIVE))) as one,
        closing(redis.Redis.from_url(with_login(nodes[1], LIVE))) as two,
    ):
        one.ping()
        two.ping()
        assert redis_account.count_connections(nodes, LIVE.user) == 2
    assert redis_account.count_connections(nodes, IDLE.user) == 0


def test_the_live_user_is_never_set_or_retired(servers, nodes, live):
    before = listed(servers[0], LIVE.user)
    other = with_login(live, Login(LIVE.user, "another"))
    for change in (redis_account.set_account, redis_account.retire_account):
        with pytest.raises(ConfigurationError, match="is the live one"):
            change(nodes, live, other)
    assert listed(servers[0], LIVE.user) == before


@pytest.mark.parametrize("allowed", ["+flushall", "+config", "+acl"])
def test_a_live_user_that_may_too_much_is_refused_before_anything_is_changed(
    servers, nodes, live, allowed
):
    with admin(servers[1]) as client:
        client.execute_command("ACL SETUSER", LIVE.user, allowed)

    with pytest.raises(ConfigurationError, match="may run"):
        redis_account.check_nodes(nodes, live)


def test_a_node_without_the_live_user_is_named(servers, nodes, live, wanted):
    with admin(servers[1]) as client:
        client.acl_deluser(LIVE.user)

    for act in (
        lambda: redis_account.check_nodes(nodes, live),
        lambda: redis_account.set_account(nodes, live, wanted),
    ):
        with pytest.raises(ConfigurationError, match=f"{servers[1].port} has no user kanvaro_a"):
            act()


def test_a_node_without_acl_file_is_refused(servers, nodes, live, monkeypatch):
    monkeypatch.setattr(redis.Redis, "config_get", lambda *_: {"aclfile": ""})

    with pytest.raises(ConfigurationError, match="no ACL file"):
        redis_account.check_nodes(nodes, live)


def test_a_wrong_password_is_refused_at_once_and_never_quoted(nodes, live):
    wrong = with_login(live, Login(LIVE.user, "canary-wrong"))
    lost = [with_login(nodes[0], Login("root", "canary-wrong"))]
    for act in (
        lambda: redis_account.check_nodes(nodes, wrong),
        lambda: redis_account.check_nodes(lost, live),
    ):
        with pytest.raises(AccessDenied, match="wrong user or password") as raised:
            act()
        assert "canary" not in f"{raised.value} {raised.value.hint}"
        assert raised.value.__cause__ is None
    with pytest.raises(CredentialUnfit, match="wrong user or password"):
        redis_account.prove_account(nodes, wrong, live)


def test_a_user_without_a_key_to_write_or_with_other_rules_is_unfit(servers, nodes, live, wanted):
    redis_account.set_account(nodes, live, wanted)
    for server in servers:
        with admin(server) as client:
            set_user(client, IDLE.user, "resetkeys %R~kanvaro:*")
    with pytest.raises(CredentialUnfit, match="other rules"):
        redis_account.prove_account(nodes, wanted, live)
    for server in servers:
        with admin(server) as client:
            set_user(client, LIVE.user, "resetkeys %R~kanvaro:*")
    with pytest.raises(CredentialUnfit, match="no key"):
        redis_account.prove_account(nodes, wanted, live)


def test_a_user_who_may_not_write_is_unfit(servers, nodes, live, wanted):
    for server in servers:
        with admin(server) as client:
            set_user(client, LIVE.user, "-set")
    redis_account.set_account(nodes, live, wanted)

    with pytest.raises(CredentialUnfit, match="not permitted"):
        redis_account.prove_account(nodes, wanted, live)


def test_replicas_alone_prove_nothing(servers, nodes, live, wanted):
    redis_account.set_account(nodes, live, wanted)

    with pytest.raises(CredentialUnfit, match="all are replicas"):
        redis_account.prove_account(nodes[1:], with_login(nodes[1], IDLE), live)


def test_the_probe_leaves_nothing(servers, nodes, live, wanted):
    redis_account.set_account(nodes, live, wanted)
    redis_account.prove_account(nodes, wanted, live)
    with admin(servers[0]) as client:
        assert client.keys("*_rotation_probe*") == []


@pytest.mark.parametrize(
    ("rules", "key"),
    [
        (["~kanvaro:*"], "kanvaro:_rotation_probe"),
        (["%R~a:*", "%RW~b:?:[xyz]*"], "b:_:x_rotation_probe"),
        (["~*"], "_rotation_probe"),
        (["~own", "~more:*"], "more:_rotation_probe"),
    ],
)
def test_the_probes_key_is_one_that_the_user_may_write(rules, key):
    assert redis_account._probe_key("app", rules) == key


def test_a_key_of_the_applications_own_is_no_probe():
    with pytest.raises(CredentialUnfit, match="no key"):
        redis_account._probe_key("app", ["~own"])


def test_one_who_is_still_let_in_is_told(nodes, live):
    with pytest.raises(StillAccepted, match="still lets kanvaro_a in"):
        redis_account.prove_refused(nodes, live)


def test_a_node_that_does_not_answer_is_named(nodes, live):
    for address, words in (
        ("redis://root:canary@127.0.0.1:1", r"127\.0\.0\.1:1 did not .*ConnectionError"),
        ("http://root:canary@127.0.0.1:1", "not understood"),
    ):
        with pytest.raises((Unreachable, ConfigurationError), match=words) as raised:
            redis_account.check_nodes([address], live)
        assert "canary" not in str(raised.value)


def test_a_live_user_that_was_never_reset_is_a_model_too(servers, nodes, live, wanted):
    """As one of an ACL file is, or one that was made by SETUSER alone."""
    for server in servers:
        with admin(server) as client:
            client.acl_deluser(LIVE.user)
            set_user(client, LIVE.user, f"on >{LIVE.password} {LIVE_RULES}")

    redis_account.set_account(nodes, live, wanted)
    redis_account.prove_account(nodes, wanted, live)
