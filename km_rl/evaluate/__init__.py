"""What a trained model is worth: its numbers, its figures, and a report to see them by."""
