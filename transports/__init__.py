"""Ways in and out: pure codecs, the ASGI shells that carry them, and a client that speaks them all."""
