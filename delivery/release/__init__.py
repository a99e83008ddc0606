"""What a GitHub release consists of: tag, notes, assets, reproducible build; `steps` is the front
door.
"""
