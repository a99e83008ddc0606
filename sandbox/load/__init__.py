"""Send requests from many viewers at a fixed rate, and report the outcome of every request.

with Load(edge.url + "/api/health", rate=200) as load:
    ...                     # a deployment
assert load.report.failed == 0

python -m sandbox.load http://127.0.0.1:8080/api/health --rate 200 --seconds 10
"""

from sandbox.load.load import Load
from sandbox.load.load_profile import LoadProfile
from sandbox.load.report import Report, RequestFailure, RevisionAnswers
from sandbox.load.sessions import Sessions

__all__ = ["Load", "LoadProfile", "Report", "RequestFailure", "RevisionAnswers", "Sessions"]
