"""What is known of each device of a rollout, and the states that a command can be in."""
