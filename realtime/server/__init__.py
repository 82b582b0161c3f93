"""The outer ring: HTTP routes, settings, the process. The one place that imports `transports`."""
