"""`make demo` and `make ci`: the pipeline against the sandbox, and what it shows on a terminal;
`demo` and `laptop` are the front doors.
"""
