"""Announce a release: write its thread in Slack, and the summary on its run's page."""

from collections.abc import Sequence

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.checks.plan import CheckPlan
from delivery.release import messages
from delivery.release.assets import Asset
from delivery.run.summary import left_out_stages
from delivery.text import plain
from tasks import operation
from tasks.platform.versions import Version
from tasks.release.notes import Notes
from tasks.release.tag import Tagged
from tasks.run.announce import announce, run_url, seconds_so_far, tell, this_run
from tasks.run.summary import write_summary


def announce_release(environment: Environment, tagged: Tagged) -> None:
    """Open the thread of a release."""
    url = run_url(environment, this_run())
    message = messages.releasing(_what(environment, tagged), tagged.revision, tagged.tagger, url)
    announce(environment, message, first=True)


@operation("conclude: {tagged} {how}")
def conclude_release(
    environment: Environment,
    tagged: Tagged,
    plan: CheckPlan,
    notes: Notes,
    assets: Sequence[Asset],
    version: Version,
    page: str,
    how: str,
) -> None:
    """Announce what was released, with the notes and the links."""
    run_id, seconds = this_run(), seconds_so_far()
    names = [each.name for each in assets]
    remarks = [*notes.remarks, *plan.remarks]
    links = [("run", run_url(environment, run_id)), ("release", page)]
    what = _what(environment, tagged)
    message = messages.released(what, how, notes.lines, remarks, names, links, seconds)
    if why := tell(environment, run_id, message):
        get_run_logger().warning("Slack did not get the message: %s", why)
    facts = [
        ("release", page),
        ("revision", f"{tagged.revision} ({tagged.source.subject})"),
        ("tagged by", tagged.tagger),
        ("image", f"{environment.ecr_repository}@{version.digest}"),
        *(("asset", f"{each.name} sha256:{each.sha256}") for each in assets),
        *(("remark", remark) for remark in remarks),
    ]
    title, left_out = plain(message.headline), left_out_stages(plan.not_applicable)
    write_summary(environment, run_id, title, facts, left_out=left_out, seconds=seconds)


def _what(environment: Environment, tagged: Tagged) -> str:
    return f"{(environment.github_repository or '').rpartition('/')[2]} {tagged}"
