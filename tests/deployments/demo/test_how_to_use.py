"""What the terminal says of a server that stays: how to use it, and never its password."""

import subprocess
from types import SimpleNamespace

from deployments import ROOT
from deployments.demo.chapters import begin
from deployments.demo.demo import how_to_log_in, show_how_to_use
from deployments.server.processes import _server
from sandbox.parts.ports import free_port

ADDRESSES = SimpleNamespace(slack_page="s", public="p", app_runner="a", aws="w")


def test_the_terminal_names_the_file_of_the_password_and_its_export_works(tmp_path, capsys):
    server = _server(tmp_path, free_port())

    show_how_to_use(server, ADDRESSES, "0" * 40)

    said = capsys.readouterr().out
    assert f"{server.address} (log in with the line in {server.password_file})" in said
    assert server.password not in said
    assert f"make deploy VERSION={'0' * 40} REASON=" in said
    assert 'make rollback REASON="trying it"' in said
    exports = "\n".join(line for line in said.splitlines() if line.startswith("  export "))
    shown = subprocess.run(
        ["bash", "-c", f"{exports}\nprintenv PREFECT_API_URL PREFECT_API_AUTH_STRING"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert shown == [f"{server.address}/api", server.password]


def test_in_this_checkout_the_file_is_named_from_there():
    server = SimpleNamespace(password_file=ROOT / ".sandbox/server.password")

    assert how_to_log_in(server) == "log in with the line in .sandbox/server.password"


def test_a_chapter_says_where_it_stands_and_what_to_expect(capsys):
    begin("a bad version")

    said = capsys.readouterr().out
    assert said.startswith("\n4 of 7: a bad version — expect ✗")
    assert "\x1b" not in said, "nobody reads colours in a file"
