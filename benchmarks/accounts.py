"""What processes have cost, from the scheduler's own accounts.

`schedstat` counts nanoseconds where `stat` counts hundredths of a second, and it also tells how long a process that
could have run had to wait for its core: the measure of how noisy a run was.
"""

from pathlib import Path
from typing import NamedTuple


class Account(NamedTuple):
    """Nanoseconds on a core, and waiting for one, of a process, its threads and its children."""

    cpu_ns: int
    waited_ns: int

    @classmethod
    def of(cls, pid: int) -> "Account":
        cpu_ns = waited_ns = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            spent, waited, _ = (task / "schedstat").read_text().split()
            cpu_ns, waited_ns = cpu_ns + int(spent), waited_ns + int(waited)
            for child in (task / "children").read_text().split():
                below = cls.of(int(child))
                cpu_ns, waited_ns = cpu_ns + below.cpu_ns, waited_ns + below.waited_ns
        return cls(cpu_ns, waited_ns)


def resident_mb(pid: int) -> float:
    """Resident memory of one process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def proportional_kib(pid: int) -> int:
    """Memory of a process and its children, of shared pages its part."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return own + sum(
        proportional_kib(int(child)) for task in tasks for child in (task / "children").read_text().split()
    )
