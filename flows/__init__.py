"""The pipelines, one per file, each readable as its own diagram.

A flow names steps and their order. It holds no boto3, no HTTP, no parsing and
no logging: those are tasks, or decisions in `delivery`.

Imports: tasks, blocks, delivery. Nothing imports flows but deployments.
"""
