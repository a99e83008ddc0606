"""What runs the application for the emulator, and the front in front of it: `instance` is the
interface.
"""
