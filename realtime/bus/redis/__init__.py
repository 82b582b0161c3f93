"""The bus over Redis."""

from .bus import RedisBus
from .metrics import RedisMetrics

__all__ = ["RedisBus", "RedisMetrics"]
