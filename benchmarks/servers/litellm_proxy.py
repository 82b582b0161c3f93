"""LiteLLM's proxy before the fake upstream: one worker, no database. Runs in an environment of its own.

It does not start without `LITELLM_MASTER_KEY`, which whoever asks it for something must send.
"""

import json
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Become LiteLLM's own command."""
    port, upstream = sys.argv[1:]
    params = {"model": "openai/benchmark", "api_base": upstream, "api_key": "unused"}
    config = {"model_list": [{"model_name": "benchmark", "litellm_params": params}]}
    # It stays open, and so there, for as long as the process lives. JSON is YAML.
    file = os.memfd_create("litellm", 0)
    os.write(file, json.dumps(config).encode())
    os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "HOME": tempfile.gettempdir()}
    command = Path(sys.executable).with_name("litellm")
    arguments = ["--config", f"/proc/self/fd/{file}", "--host", "127.0.0.1", "--port", port, "--num_workers", "1"]
    os.execv(command, [str(command), *arguments, "--telemetry", "False"])


if __name__ == "__main__":
    main()
