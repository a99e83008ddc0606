"""Run the pipeline against the sandbox: `demo` for `make demo`, `laptop` for `make ci`."""
