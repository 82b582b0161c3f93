"""The Redis bus in a world of its own, where time, turns, chance and faults are drawn from a seed. See `README.md`."""
