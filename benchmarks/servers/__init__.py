"""What is measured, each run as `python -m benchmarks.servers.<name> <port> …` in a process of its own."""
