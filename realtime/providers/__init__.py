"""Adapters to model APIs: `base` is the seam, each other module one kind of provider."""
