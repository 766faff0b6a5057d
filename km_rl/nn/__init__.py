"""Networks that know no memory: they are handed to the machine."""
