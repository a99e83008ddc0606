"""A GitHub for tests and demonstrations: it answers as documented and remembers what it was told.

It is served by the inbox; `FakeServices.github` is the `GitHub` here.
"""

from sandbox.github.store import GitHub

__all__ = ["GitHub"]
