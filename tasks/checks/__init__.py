"""Run the application's checks and remember what they prove: `runner` is the front door."""
