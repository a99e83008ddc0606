"""Security advisories as an npm registry serves them, from a fixture that can grow at run time."""

from sandbox.advisories.advisory import Advisory
from sandbox.advisories.server import Advisories

__all__ = ["Advisories", "Advisory"]
