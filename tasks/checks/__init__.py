"""Running the application's checks and keeping what they prove: `runner` is the front door."""
