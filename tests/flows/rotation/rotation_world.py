"""An environment with real secrets: databases that check them, and services that get them."""

import base64
import binascii
import json
import secrets
import uuid
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pymongo
import redis
from prefect import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, get_current_settings

from delivery.credentials.connection_uri import Login, login_of, with_login
from delivery.errors import DeliveryError
from flows.reconcile import reconcile
from flows.rotate_secrets import rotate_secrets
from sandbox.aws.first_secrets import _create, _key_rings
from sandbox.aws.secrets_manager import StrictSecretsManager
from sandbox.databases.mongo_process import mongo_stand_in
from sandbox.databases.redis_process import RedisNode
from tasks.credentials import mongodb_account
from tasks.credentials.redis_connection import connected as redis_connection
from tasks.rotation.rolling_restart import look_at_consumers
from tasks.run import ledger
from tasks.run.lock_row import read_lock
from tests.flows.rotation.mailing import REFERENCES as MAIL_REFERENCES
from tests.flows.stand import role_of
from tests.permissions import MAIL_USERS
from tests.tasks.account import client_at

ROOT = Login("root", "canary-root-password")
RULES = "~kanvaro:* resetchannels &kanvaro:* +@all -@admin -@dangerous"
REFERENCES = {
    "MONGODB_URI": ("database", "mongodb_uri"),
    "REDIS_URL": ("database", "redis_url"),
    "JWT_SECRET": ("jwt", "jwt_secret"),
    "JWT_REFRESH_SECRET": ("jwt", "refresh_secret"),
    "JWT_RING": ("jwt", "ring"),
    "SECRET_VERSION_DATABASE": ("database", "version"),
    "SECRET_VERSION_JWT": ("jwt", "version"),
}
DAY_S = 24 * 3600


class Databases:
    """A Redis with its ACL file, and the MongoDB stand-in; each environment has its own users."""

    def __enter__(self):
        with ExitStack() as stack:
            self.redis = stack.enter_context(RedisNode())
            self.mongo = stack.enter_context(mongo_stand_in(ROOT.user, ROOT.password))
            self._stack = stack.pop_all()
        self.mongo_admin = with_login(self.mongo.uri("admin"), ROOT)
        return self

    def __exit__(self, *args):
        return self._stack.__exit__(*args)

    def make_users(self, name, password):
        """Create the application's user in both databases; return the value of its secret."""
        login = Login(f"{name}_a", password)
        with pymongo.MongoClient(self.mongo_admin) as root:
            root[name].command("createUser", login.user, pwd=password, roles=["readWrite"])
        with closing(redis.Redis.from_url(self.redis.admin_uri)) as root:
            root.execute_command("ACL SETUSER", login.user, "on", f">{password}", *RULES.split())
            root.acl_save()
        return {
            "mongodb_uri": with_login(self.mongo.uri(name), login),
            "redis_url": with_login(f"redis://{self.redis.host}:{self.redis.port}/0", login),
        }


class Rotating:
    """The secrets of one environment, and questions about them."""

    def __init__(self, stand, strict, databases, environment, *, mail=None, **options):
        self.mail = mail
        self.stand, self.strict, self.databases = stand, strict, databases
        self.environment = environment
        self.key = f"k{uuid.uuid4().hex[:8]}"
        self.store = client_at(strict.url, "secretsmanager")
        self.first_password = secrets.token_urlsafe(24)
        self._make_secrets(**options)
        self._refer()

    def _make_secrets(self, provider="gmail", jwt=None):
        database = self.databases.make_users(self.key, self.first_password)
        admin = {
            "mongodb_uri": self.databases.mongo_admin,
            "redis_urls": [self.databases.redis.admin_uri],
        }
        made_by = {"ses": self.mail.ses, "operator": self.mail.by_hand} if self.mail else {}
        unknown = {"provider": provider, "smtp_user": "u", "smtp_pass": "p"}
        email = made_by[provider](self.key) if provider in made_by else unknown
        if user := email.get("iam_user"):
            MAIL_USERS[self.environment.name] = user
        plain = self.stand.aws.client("secretsmanager")
        for name, value in (
            ("database", database),
            ("jwt", jwt or _key_rings()),
            ("email", email),
            ("admin", admin),
        ):
            _create(plain, self.name(name), value)

    def _refer(self):
        environment = self.environment
        environment.__dict__.pop("_clients", None)
        environment.rotated = {kind: self.name(kind) for kind in ("database", "jwt", "email")}
        environment.admin_secret = self.name("admin")
        environment.endpoints = {**environment.endpoints, "secretsmanager": self.strict.url}
        references = REFERENCES
        if self.mail:
            environment.endpoints["iam"] = self.mail.ways.url
            environment.smtp_authorities = self.mail.smtp.ca_file
            references = {**REFERENCES, **MAIL_REFERENCES}
        arns = {kind: self.described(kind)["ARN"] for kind, _ in references.values()}
        self.references = {
            name: f"{arns[kind]}:{key}::" for name, (kind, key) in references.items()
        }
        self.with_all_references()

    def with_all_references(self):
        role = role_of(self.environment.service.name, "instance")
        self.environment.service = self.environment.service.model_copy(
            update={"secrets": self.references, "instance_role_arn": role}
        )
        self.save()

    def save(self):
        self.environment.save(self.environment.name, overwrite=True)

    def without_reference(self, *variables):
        service = self.environment.service
        kept = {name: ref for name, ref in service.secrets.items() if name not in variables}
        self.environment.service = service.model_copy(update={"secrets": kept})
        self.save()

    def name(self, kind):
        return f"{self.key}/{kind}"

    def run(self, slot="first", **parameters):
        """Rotate; return the run's state."""
        state = rotate_secrets(
            environment=self.environment.name,
            return_state=True,
            **{"secrets": ["database", "jwt"], "rotation_id": slot, **parameters},
        )
        self.id = state.state_details.flow_run_id
        return state

    def ok(self, slot="first", **parameters):
        return self.run(slot, **parameters).result()

    def fail(self, slot="first", **parameters):
        return self.run(slot, **parameters).result(raise_on_failure=False)

    def tidy(self):
        return reconcile(self.environment.name)

    def age(self, seconds=DAY_S):
        """Pretend that the ledger's rows of rotations were written so long ago."""
        token = read_lock(self.environment).token
        for row in ledger.read_rotations(self.environment):
            moments = {
                name: getattr(row, name) - seconds
                for name in ("began", "rolled_at", "drained_since", "retired_at")
                if getattr(row, name) is not None
            }
            ledger.write_rotation(self.environment, replace(row, **moments), token)

    def rows(self, kind="database"):
        return ledger.read_rotations(self.environment, self.name(kind))

    def described(self, kind):
        return self.store.describe_secret(SecretId=self.name(kind))

    def labels(self, kind):
        found = self.described(kind)["VersionIdsToStages"]
        return {label: version for version, labels in found.items() for label in labels}

    def current(self, kind):
        return self.labels(kind)["AWSCURRENT"]

    def value(self, kind, version=None):
        version = version or self.current(kind)
        found = self.store.get_secret_value(SecretId=self.name(kind), VersionId=version)
        return json.loads(found["SecretString"])

    def put(self, kind, value, label="AWSCURRENT"):
        """Store a value by hand; return the id of its version."""
        made = str(uuid.uuid4())
        self.store.put_secret_value(
            SecretId=self.name(kind),
            ClientRequestToken=made,
            SecretString=value if isinstance(value, str) else json.dumps(value),
            VersionStages=[label],
        )
        return made

    def logs_in(self, value):
        """Return whether both databases accept the user of a value; both must agree."""
        said = mongodb_account.logs_in(value["mongodb_uri"]), redis_lets_in(value["redis_url"])
        assert said[0] == said[1], f"MongoDB and Redis differ: {said}"
        return said[0]

    def logs_in_everywhere(self, value):
        return mongodb_account.logs_in(value["mongodb_uri"]) and redis_lets_in(value["redis_url"])

    def logs_in_somewhere(self, value):
        return mongodb_account.logs_in(value["mongodb_uri"]) or redis_lets_in(value["redis_url"])

    def survives_a_restart(self, value):
        """Return whether Redis has the password in its file, where those of its other users are."""
        digest = sha256(login_of(value["redis_url"]).password.encode()).hexdigest()
        return f"#{digest}" in self.databases.redis.acl_file

    def given(self):
        """Return the variables of each running instance of this environment."""
        prefix = self.environment.service.name
        return [
            each.launch.environment
            for each in list(self.stand.programs.running.values())
            if each.launch.service_name.startswith(prefix)
        ]

    def serving(self):
        """Return the secrets' versions that each service reports."""
        found = look_at_consumers.fn(self.environment)
        return {each.name.rpartition("-")[2]: dict(each.answer.secrets) for each in found}

    def everything(self):
        """Return everything that a rotation could change."""
        return (
            {kind: self.described(kind)["VersionIdsToStages"] for kind in ("database", "jwt")},
            self.stand.changes(self.environment),
            self.databases.redis.acl_file,
            self.rows(),
            self.rows("jwt"),
        )

    def told(self, *runs):
        """Return everything that Slack and Prefect know of runs: parameters, artifacts and logs."""
        told = str([each.blocks for each in self.stand.fakes.slack.messages])
        with get_client(sync_client=True) as client:
            for run in runs:
                artifacts = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
                logs = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
                told += str(client.read_flow_run(run))
                told += str(client.read_artifacts(artifact_filter=artifacts))
                told += str(client.read_logs(log_filter=logs, limit=200))
        return told

    @staticmethod
    def stored():
        """Return everything that Prefect keeps in files: database, journal and results."""
        database = get_current_settings().server.database.connection_url.get_secret_value()
        path = Path(database.partition("///")[2])
        results = Path(PREFECT_LOCAL_STORAGE_PATH.value()).rglob("*")
        files = [*path.parent.glob(f"{path.name}*"), *results]
        return b"\n".join(_readable(each) for each in files if each.is_file())

    def in_the_ledger(self):
        """Return all rows of the account's ledger."""
        table = self.environment.ledger_table
        pages = (
            self.environment.retrying("dynamodb").get_paginator("scan").paginate(TableName=table)
        )
        return [row for page in pages for row in page["Items"]]

    def texts(self):
        """Return every secret text of all versions that can still be read."""
        node = login_of(self.databases.redis.admin_uri)
        found = {self.first_password, ROOT.password, node.password}
        for kind in ("database", "jwt", *(["email"] if self.mail else [])):
            for version in self.described(kind)["VersionIdsToStages"]:
                # A test may have stored an invalid value.
                with suppress(DeliveryError, ValueError, KeyError, TypeError):
                    found |= set(_texts(self.value(kind, version)))
        return found


def redis_lets_in(url):
    """Return whether a new connection is accepted."""
    try:
        with redis_connection(url, "let a test in") as own:
            own.ping()
    except DeliveryError:
        return False
    return True


def _readable(file):
    """Return a file's content and, for a pickled result, the content of that."""
    content = file.read_bytes()
    with suppress(ValueError, TypeError, KeyError, binascii.Error):
        content += base64.b64decode(json.loads(content)["result"])
    return content


def rings_in(value):
    """Return the rings of both kinds of tokens in the secret's value, where they are one text."""
    return json.loads(value["ring"])


def _texts(value):
    if "smtp_pass" in value:
        return [value[name] for name in ("smtp_pass", "secret_access_key") if name in value]
    if "ring" in value:
        rings = rings_in(value).values()
        keys = [k for ring in rings for k in (ring["current"], ring["next"], *ring["previous"])]
        return [key["k"] for key in keys]
    return [login_of(value[name]).password for name in ("mongodb_uri", "redis_url")]


@contextmanager
def strict_way(stand):
    with StrictSecretsManager(stand.aws.endpoint) as way:
        yield way
