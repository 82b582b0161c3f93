"""`python -m realtime`."""

from .server.cli import main

main()
