"""What stays of trained models: numbers with their provenance, and what follows from them."""
