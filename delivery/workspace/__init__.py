"""What a checked-out repository says about itself: names, packages, Node version; `packages` is
the front door.
"""
