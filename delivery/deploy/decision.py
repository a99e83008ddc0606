"""Decides whether a checked revision is deployed."""


def why_not_deployed(
    *,
    ref: str,
    deploy_ref: str,
    is_own_repository: bool,
    has_dockerfile: bool,
    dockerfile: str,
) -> str:
    """Return why a revision on `ref` is only checked; empty if it is to be deployed."""
    if not is_own_repository:
        return "it comes from another repository than the environment's"
    if ref != deploy_ref:
        return f"{ref} is not the deploy branch {deploy_ref}"
    if not has_dockerfile:
        return f"not applicable: the revision has no {dockerfile}"
    return ""
