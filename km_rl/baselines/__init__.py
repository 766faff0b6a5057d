"""What the machine is compared to: one paper a file."""
