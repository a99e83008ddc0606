"""Errors of the sandbox itself."""

from delivery.errors import DeliveryError


class SandboxPartFailed(DeliveryError):
    """A part of the sandbox did not start or ended by itself."""

    hint = "Read the part's last lines above, then start the sandbox again."


class AlreadyRunning(DeliveryError):
    """Another process runs a sandbox in the folder."""

    hint = "Use it as it is, or stop it: python -m sandbox --stop"
