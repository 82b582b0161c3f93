"""The shape of the house: every module imports alone, and no import, not even one for typing, makes a cycle."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("realtime", "transports")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports_of(name: str, path: Path) -> set[str]:
    """Modules of ours that `path` imports, at any level of the file and under any condition."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    # A module's own packages are imported by Python before it, not by it.
    return {module for module in found if module in FILES and not name.startswith(f"{module}.") and module != name}


def test_no_import_makes_a_cycle() -> None:
    """The modules of both packages can be put in an order in which each imports only earlier ones."""
    graph = {name: imports_of(name, path) for name, path in FILES.items()}
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) == set(FILES)


def test_the_cycle_test_sees_a_cycle() -> None:
    """Relative imports, absolute ones and those inside functions are all seen."""
    assert "realtime.errors" in imports_of("realtime.events", FILES["realtime.events"])
    assert "realtime.manager" in imports_of("realtime.server.app", FILES["realtime.server.app"])
    assert "transports.http" in imports_of("realtime.server.streaming", FILES["realtime.server.streaming"])


# Imports each module in a child of a process that has loaded other people's packages and none of ours.
ALONE = """
import importlib, os, sys
import anthropic, fastapi, openai, prometheus_client, pydantic_settings, rich.console, typer, uvicorn
for name in sys.argv[1:]:
    pid = os.fork()
    if pid == 0:
        importlib.import_module(name)
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(name)
"""


@pytest.mark.timeout(180)
def test_every_module_imports_alone() -> None:
    """No module leans on another having been imported before it."""
    modules = [name for name in FILES if not name.endswith("__main__")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE, *modules], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_all_names_exist() -> None:
    """Everything a package says it exports is there, and sorted."""
    import realtime  # noqa: PLC0415 - the package is what is tested

    assert sorted(realtime.__all__) == realtime.__all__
    assert all(hasattr(realtime, name) for name in realtime.__all__)
