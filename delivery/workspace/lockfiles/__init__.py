"""What lockfiles say: which packages are locked, and which of them need which; `locked` is the
front door.
"""
