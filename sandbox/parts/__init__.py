"""What all emulators share: life cycle, ports, certificates, faults; start with `part`."""
