"""Training: the only loop, the run folder it fills and the checkpoints it resumes from."""
