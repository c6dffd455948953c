"""The benchmark (`python -m bench`, docs/performance.md), and single measurements beside it."""
