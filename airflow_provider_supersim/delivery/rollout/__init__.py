"""A rollout: waves, gates, window, progress and report."""
