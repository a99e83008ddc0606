"""When flows run, and what starts them.

`prefect.yaml` names the deployed flows. This package holds what YAML cannot say: `register` makes a
Prefect server ours, `status` answers the question of 3 a.m., `server` starts server and workers,
`webhooks` receives GitHub's and SNS's requests, `demo` shows the pipeline on a laptop.

Imports: anything. Nothing imports deployments.
"""

from pathlib import Path

# The checkout: prefect.yaml, flows/ and the templates are found from here.
ROOT = Path(__file__).parents[1]
