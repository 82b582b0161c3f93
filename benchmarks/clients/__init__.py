"""Load clients, each run as a process of its own on the core that the server does not have. See `asking`."""
