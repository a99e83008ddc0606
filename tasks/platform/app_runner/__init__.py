"""Run the application on AWS App Runner: `service` is the front door."""
