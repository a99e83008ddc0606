"""A commit checked out, and programs and containers that run on it: `workspace` is the front
door.
"""
