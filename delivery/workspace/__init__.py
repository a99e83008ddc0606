"""What a checked-out repository says of itself: names, packages, Node version; `packages` is the
front door.
"""
