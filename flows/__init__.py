"""The flows, one per file, each readable as its own diagram.

A flow names steps and their order. It holds no boto3, HTTP, parsing or logging: those are tasks, or
decisions in `delivery`.

Imports: tasks, blocks, delivery. Nothing imports flows but deployments.
"""
