"""A model API for tests and benchmarks: a real socket, the providers' exact wires, every fault on request."""

from .server import FIN, RESET, STALL, Exchange, Pause, Reply, Script, Upstream, Wait, cut

__all__ = ["FIN", "RESET", "STALL", "Exchange", "Pause", "Reply", "Script", "Upstream", "Wait", "cut"]
