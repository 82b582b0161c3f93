"""The JavaScript client, by Node's own test runner, against a real server."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NODE = shutil.which("node")
# What browsers have and Node 20 hides. Newer Nodes take the flags as well.
FLAGS = ("--experimental-websocket", "--experimental-eventsource")

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.skipif(NODE is None, reason="needs Node")
@pytest.mark.timeout(120)
def test_client_in_node(server: str) -> None:
    """Every test of client.test.mjs passes on every wire."""
    assert NODE is not None
    command = [NODE, *FLAGS, "--test", "--test-timeout=30000", "--test-reporter=tap", str(HERE / "client.test.mjs")]
    result = subprocess.run(
        command, env={**os.environ, "REALTIME_URL": server}, capture_output=True, text=True, check=False, timeout=100
    )
    assert result.returncode == 0, result.stdout
    counted = re.search(r"^# pass (\d+)$", result.stdout, re.MULTILINE)
    assert counted is not None
    assert int(counted[1]) > 50
