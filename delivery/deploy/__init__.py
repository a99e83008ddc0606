"""What a deployment decides: where things stand (`snapshot`), how well a canary is
(`canary_analysis`), what a dry run says, and the messages people read. `snapshot` is the front
door.
"""
