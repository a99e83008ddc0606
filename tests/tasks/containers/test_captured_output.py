"""How the end of a program is told."""

from tasks.containers.captured_output import CapturedOutput, ProgramOutcome, format_outcome

STACK = "".join(f"    at frame{number} (a.js:1:1)\n" for number in range(60))


def test_a_time_out_is_told_as_the_time_that_was_given_and_not_with_the_time_to_stop():
    outcome = ProgramOutcome(143, 13.2, (), timed_out=True, timeout_s=8)

    assert "did not end within 8 s" in format_outcome("unit", ["npm", "test"], outcome)


def test_a_long_stack_does_not_hide_the_error_before_it(tmp_path):
    with CapturedOutput(lambda _: None, tmp_path / "log", 40) as output:
        output.write(f"> node a.js\nError: the port is taken\n{STACK}".encode())
        output.end()
        outcome = ProgramOutcome(1, 3, output.last_lines, first_error=output.first_error)

    told = format_outcome("unit", ["npm", "test"], outcome).splitlines()

    assert told[0].startswith("unit: `npm test` ended with exit code 1 after 3.0 s")
    assert told[1] == "Error: the port is taken"
    assert told[-1].strip() == "at frame59 (a.js:1:1)"


def test_an_error_is_a_line_of_its_own_though_the_other_stream_has_begun_one(tmp_path):
    """As Yarn 1 reports its steps on one stream, and its errors on the other."""
    with CapturedOutput(lambda _: None, tmp_path / "log", 40) as output:
        output.write(b"[2/4] Fetching packages")
        output.write(b"error An unexpected error occurred\n", is_error=True)
        output.write(b"...\n")
        output.end()

        assert output.last_lines == (
            "error An unexpected error occurred",
            "[2/4] Fetching packages...",
        )
