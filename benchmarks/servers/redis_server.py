"""Redis without a disk, so that no fork of it is in the figures.

    redis_server <port>

It becomes Redis, so that the process that was started is the one that is measured and ended.
"""

import os
import sys

from benchmarks.environments import redis_server


def main() -> None:
    """Become Redis."""
    own = redis_server()
    os.execv(own, [own, "--port", sys.argv[1], "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])


if __name__ == "__main__":
    main()
