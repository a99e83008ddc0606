"""Serve security advisories as an npm registry does, from a fixture that can grow at run time."""

from sandbox.advisories.advisory import Advisory
from sandbox.advisories.server import Advisories

__all__ = ["Advisories", "Advisory"]
