"""Milestones say how far a deployment came, for the message about a run that ended early."""

from enum import StrEnum

PREFIX = "kanvaro-"


class Milestone(StrEnum):
    """A change that was carried out; its value is a key of saved runs and keeps its spelling."""

    SENT = f"{PREFIX}sent-in-place"
    TRAFFIC_GIVEN = f"{PREFIX}traffic-given"
    TRAFFIC_TAKEN_BACK = f"{PREFIX}traffic-taken-back"
