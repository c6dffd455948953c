"""The composition root: where the floors meet.

`serve` connects every part by one-slot cells and runs them; `render` does the pure part for a file.
"""
