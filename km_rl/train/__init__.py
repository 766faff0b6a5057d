"""Training of models of images: its only loop, the run folder and what is resumed from."""
