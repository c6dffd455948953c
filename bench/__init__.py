"""Measurements, run by hand: `python -m bench.<name>` from the root of the checkout."""
