"""Benchmarks: ours beside what people would write or run instead, in one run on one machine. See `README.md`."""
