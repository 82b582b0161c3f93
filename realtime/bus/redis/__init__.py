"""The bus over Redis."""

from .bus import RedisBus
from .reaching import reach

__all__ = ["RedisBus", "reach"]
