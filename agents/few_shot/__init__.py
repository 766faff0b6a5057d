"""A new expert from a few pairs: trained on many others, compared with its rivals."""
