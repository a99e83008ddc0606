"""Everything Kanvaro delivery talks to, on this machine: emulators and a sample application.

`sandbox.start.Sandbox` starts all of it; each part is a context manager of its own, too. The demo
and the tests use the same parts. Nothing here is imported by the product.
"""
