"""No push goes back to an older version: that is the job of `rollback`, for which a person asks.

Somebody may send a push again that was recorded, GitHub may deliver two pushes in the wrong order,
and a person may run an old job of GitHub Actions again.
"""

from blocks.environment import Environment
from delivery.deploy.decision import Lineage, why_downgrade
from delivery.deploy.snapshot import as_recovered
from delivery.errors import RequestRefused
from delivery.run.ledger import Release
from tasks import fact
from tasks.aws_errors import translate_aws_errors
from tasks.platform.routing import router_of
from tasks.run import ledger
from tasks.workspace.checkout import Source
from tasks.workspace.mirrors import mirror_of
from tasks.workspace.repository import credentials_for
from tasks.workspace.workspace import Workspace


@fact("is {source.revision:.10} no older than what is live in {environment.name}?")
def require_no_downgrade(environment: Environment, workspace: Workspace, source: Source) -> None:
    """Raise `RequestRefused` if the revision is in the history of the live one.

    `ci` asks before it changes anything, and again once it holds the deploy lock: another run may
    have put a newer version live in between.
    """
    with translate_aws_errors("read what is live"):
        live = live_release(environment)
    if live is None or live.revision == source.revision:
        return
    lineage = lineage_of(environment, workspace, source, live.revision)
    if why := why_downgrade(environment.name, source.revision, live, lineage):
        raise RequestRefused(
            why,
            hint="To go back to it, run `rollback` with this revision as `target_version` and a "
            "reason. Nothing was changed.",
        )


def live_release(environment: Environment) -> Release | None:
    """Return the release that is live, also one that a killed run did not write down any more."""
    releases = list(ledger.read_releases(environment))
    if environment.strategy == "blue-green" and (left := ledger.read_intents(environment)):
        releases = as_recovered(releases, left, router_of(environment).read().route)
    return max(releases, key=lambda each: each.number, default=None)


def lineage_of(
    environment: Environment, workspace: Workspace, source: Source, live: str
) -> Lineage:
    """Return what git says of the live commit and of the one that was checked out.

    It asks the mirror, and the repository only if the mirror does not have the live commit on the
    branch.
    """
    address = source.repository
    with mirror_of(address, workspace.mirrors, credentials_for(environment, address)) as mirror:
        if not mirror.commits(live) or not mirror.holds(source.ref, live):
            mirror.fetch()
        if not mirror.commits(live):
            return Lineage(live_is_on_branch=False, is_within_live=False)
        return Lineage(mirror.holds(source.ref, live), mirror.holds(live, source.revision))
