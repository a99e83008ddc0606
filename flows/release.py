"""
Make a GitHub release of a version tag, whose assets anyone can verify.

    check out the tag ─ may it be released? ─ which image? ────┬ test:all ─ build, afresh ┐
    announce ◀─ publish ◀─ tag the image by digest ◀─ draft: send, download, compare ◀────┘

It stays a draft, which only its authors see, until every asset was downloaded again and compared.
A killed run is simply run again: there is one release in the end.
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Registered, Tag
from tasks.checks.runner import install_unless_proven
from tasks.checks.side_by_side import run_checks
from tasks.deploy.conclusion import tell_failure
from tasks.release.announcements import announce_release, conclude_release
from tasks.release.assets import make_assets
from tasks.release.github_release import draft_release, publish_release, require_no_other_release
from tasks.release.image_tag import image_of, tag_image
from tasks.release.notes import write_notes
from tasks.release.plan import plan_release
from tasks.release.standalone_build import build_standalone
from tasks.release.tag import check_out_tag, require_tag
from tasks.run.hooks import on_bad_end
from tasks.workspace.workspace import open_workspace


@flow(name="release", flow_run_name="release {tag}", **on_bad_end(tell_failure))
def release(
    tag: Tag = Field(description="The annotated tag to release, such as v1.4.0."),
    environment: Registered = Field(
        default="production",
        description="A registered environment: where the repository and the image are known.",
    ),
    draft: bool = Field(
        default=False,
        description="Leave it a draft to look at; run again without this to publish it.",
    ),
    prerelease: bool = Field(
        default=False, description="Mark it as not ready for everybody; v2.0.0-rc.1 always is."
    ),
) -> str:
    """Test and build what a tag points at, and release it on GitHub with its image."""
    env = Environment.named(environment)
    with open_workspace(env) as workspace:
        tagged = check_out_tag(env, workspace, tag)
        require_tag(env, tagged)
        require_no_other_release(env, tagged)
        version = image_of(env, tagged)
        announce_release(env, tagged)
        plan = plan_release(env, tagged)
        notes = write_notes(env, workspace, tagged, plan)
        install_unless_proven(env, tagged.source, workspace, plan)
        run_checks(env, tagged.source, workspace, plan)
        built = build_standalone(env, workspace, tagged, plan)
        assets = make_assets(env, workspace, tagged, plan, built, version)
        remote = draft_release(env, tagged, notes.text, assets, workspace, prerelease=prerelease)
        how = "is a draft on GitHub" if draft else "is released"
        if not draft:
            require_tag(env, tagged)
            tag_image(env, version, tagged.tag)
            publish_release(remote, tagged)
        conclude_release(env, tagged, plan, notes, assets, version, remote.page, how)
    return f"{tag} of {tagged.revision} {how} at {remote.page}"
