"""Deploy the flows, and start what runs them.

`prefect.yaml` lists the deployments. This package holds what YAML cannot express: `register` sets
up a Prefect server, `status` prints what is live and healthy, `server` starts server and workers,
`webhooks` receives GitHub's and SNS's requests, `demo` shows the pipeline on a laptop.

Imports: anything. Nothing imports deployments.
"""

from pathlib import Path

# The checkout, which contains prefect.yaml, flows/ and the templates.
ROOT = Path(__file__).parents[1]
