"""Milestones say how far a deployment came, for the message about a run that ended early."""

from enum import StrEnum


class Milestone(StrEnum):
    """A change that was carried out; its value is a label of saved runs and keeps its spelling."""

    SENT = "kanvaro.sent-in-place"
    TRAFFIC_GIVEN = "kanvaro.traffic-given"
    TRAFFIC_TAKEN_BACK = "kanvaro.traffic-taken-back"
