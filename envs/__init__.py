"""Where agents act: environments by name, and demonstrations of experts in them.

A plain package of the checkout, not of the wheel.
"""
