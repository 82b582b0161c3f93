"""The test vectors in another language, by Node's own test runner."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
SCRIPT = Path(__file__).parent / "vectors.test.mjs"


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_javascript_reads_the_vectors() -> None:
    """An independent reader finds the same in every form, and the JavaScript client the same messages."""
    assert NODE is not None
    command = [NODE, "--test", "--test-reporter=tap", str(SCRIPT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert result.returncode == 0, result.stdout + result.stderr
    counted = re.search(r"^# pass (\d+)$", result.stdout, re.MULTILINE)
    assert counted is not None
    assert int(counted[1]) > 100
