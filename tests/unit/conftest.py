"""What tests of the bus over Redis share."""

import pytest


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only messages tell: nothing is compared, renewed or listened to anew for as long as a test lasts."""
    for name in ("watch.WATCH_S", "watch._DEAF_S", "lease.RENEW_S", "ears.ECHO_S"):
        monkeypatch.setattr(f"realtime.bus.redis.{name}", 600.0)
