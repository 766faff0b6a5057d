"""What trained models are worth: their bounds, and a report to see it by."""
