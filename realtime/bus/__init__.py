"""Where logs are created, found and stopped: `base` is the seam, each other module one implementation of it."""
