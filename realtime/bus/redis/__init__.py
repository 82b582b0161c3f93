"""The bus over Redis."""

from .bus import RedisBus

__all__ = ["RedisBus"]
