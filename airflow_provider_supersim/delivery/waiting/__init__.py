"""Wait for the statuses of commands."""
