"""What is published: the two packages, whole, and nothing else."""

import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of a wheel that is built from this tree."""
    built = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist"))))
    with zipfile.ZipFile(built) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_the_wheel_has_two_packages(names: set[str]) -> None:
    """Beside its metadata it holds `realtime` and `transports`: no tests, no benchmarks, no caches."""
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"realtime", "transports"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_wheel_is_whole(names: set[str]) -> None:
    """Every module, the pages, the protocol with its vectors, and the markers that say that it is typed."""
    files = {path for package in ("realtime", "transports") for path in (ROOT / package).rglob("*") if path.is_file()}
    expected = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert expected <= names
    assert {
        "realtime/py.typed",
        "transports/py.typed",
        "transports/PROTOCOL.md",
        "transports/vectors.json",
        "realtime/server/web/index.html",
        "realtime/server/web/client.js",
    } <= names
