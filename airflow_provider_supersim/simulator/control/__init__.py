"""The control plane: where tests change the world and read what happened."""
