"""The moving parts that need an event loop but no network: the one-slot cell, the debounce, the pipeline."""
