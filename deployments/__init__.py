"""When flows run, and what starts them.

`prefect.yaml` says which flows are deployed. This package holds what YAML
cannot: the commands that make a fresh Prefect server ours, a pipeline on a
laptop, and the demonstration.

Imports: anything. Nothing imports deployments.
"""
