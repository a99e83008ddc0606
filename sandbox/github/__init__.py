"""A fake GitHub for tests and demonstrations: it answers as documented and records each request.

`FakeServices` serves it; `FakeServices.github` is the `GitHub` defined here.
"""

from sandbox.github.store import GitHub

__all__ = ["GitHub"]
