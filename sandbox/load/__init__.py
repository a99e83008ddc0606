"""Load from many viewers that do not wait for each other, and what became of every request.

with Load(edge.url + "/api/health", rate=200) as load:
    ...                     # a deployment
assert load.report.failed == 0

python -m sandbox.load http://127.0.0.1:8080/api/health --rate 200 --seconds 10
"""

from sandbox.load.load import Load
from sandbox.load.load_profile import Wish
from sandbox.load.report import Failure, Report, Seen
from sandbox.load.sessions import Sessions

__all__ = ["Failure", "Load", "Report", "Seen", "Sessions", "Wish"]
