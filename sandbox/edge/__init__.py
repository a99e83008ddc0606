"""Emulate CloudFront as far as a delivery uses it."""

from sandbox.edge.control_endpoint import ControlEndpoint
from sandbox.edge.distribution import Distribution, ensure_distribution
from sandbox.edge.edge import Edge

__all__ = ["ControlEndpoint", "Distribution", "Edge", "ensure_distribution"]
