"""This machine's programs, its Docker engine, and what dead sandboxes left; start with `engine`."""
