"""What each vendor does in its own way."""
