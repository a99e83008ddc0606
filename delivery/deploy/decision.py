"""Decides whether a checked revision is deployed."""

from dataclasses import dataclass

from delivery.run.ledger import Release


@dataclass(frozen=True)
class Lineage:
    """What git says of the live commit and of another one on the deploy branch.

    `live_is_on_branch`: the live commit is reachable from the branch, as the repository has it now;
    `is_within_live`: the other commit is reachable from the live one.
    """

    live_is_on_branch: bool
    is_within_live: bool


def why_not_deployed(
    *,
    ref: str,
    deploy_ref: str,
    is_own_repository: bool,
    why_no_image: str,
) -> str:
    """Return why a revision on `ref` is only checked; empty if it is to be deployed."""
    if not is_own_repository:
        return "it comes from another repository than the environment's"
    if ref != deploy_ref:
        return f"{ref} is not the deploy branch {deploy_ref}"
    return why_no_image


def why_downgrade(environment: str, revision: str, live: Release, lineage: Lineage) -> str:
    """Return why deploying a revision would be a way back; empty if it is none.

    The live revision itself is no way back. Nor is any revision once the live one is not on the
    deploy branch any more: somebody has rewritten the branch, and what is on it now is wanted.
    """
    if revision == live.revision or not lineage.live_is_on_branch or not lineage.is_within_live:
        return ""
    return (
        f"{revision[:10]} is an ancestor of {live}, which is live in {environment} since "
        f"{live.since}; `ci` does not go back"
    )
