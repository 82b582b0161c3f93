"""A real server, in its own process, for the tests that want the whole way."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def real_url() -> Iterator[str]:
    """The URL of `realtime serve` on a free port, with nothing but the demo provider."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    command = [sys.executable, "-m", "realtime", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                if found := re.search(r"listening on (http://\S+)", line):
                    yield found[1]
                    break
            else:
                pytest.fail(f"the server did not start: {said}")
        finally:
            process.kill()
