"""Deliver without checks: what `ci` does once it has an image."""

from prefect import flow

from blocks.environment import Environment
from flows.blue_green import put_live
from tasks.deploy.announcements import announce_deploying
from tasks.deploy.conclusion import conclude_live, tell_failure
from tasks.platform.versions import as_proven, choose_version
from tasks.run.lock import deploy_lock


@flow(name="deliver", on_failure=[tell_failure], on_crashed=[tell_failure])
def deliver(version, environment, reason="a test"):
    env = Environment.named(environment)
    wanted = choose_version(env, version)
    env = as_proven(env, wanted)
    with deploy_lock(env, "deploy", str(wanted), reason) as lock:
        announce_deploying(lock, wanted)
        live = put_live(lock, wanted, None)
        conclude_live(lock, wanted, live)
    return live
