"""What every emulator is built from: life cycle, ports, certificates, faults; `part` is the front
door.
"""
