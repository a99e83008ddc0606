"""Emulators of everything that Kanvaro delivery talks to, and a sample application.

`sandbox.start.Sandbox` starts all of it on this machine; each part is also a context manager of its
own. The demo and the tests use the same parts. The product imports nothing from here.
"""
