"""The process around the app: the server that its settings ask for."""

from .app import Application
from .connections import configure
from .draining import DrainingServer

# Between a signal from outside and the same one from the parent.
_ECHO_S = 1.0


def create_server(application: Application) -> DrainingServer:
    """A server for the application, with the limits its settings name."""
    settings = application.settings
    config = configure(
        application.app,
        header_deadline_s=settings.header_deadline_s,
        body_deadline_s=settings.body_deadline_s,
        frame_bytes=settings.frame_bytes,
        log_config=None,
    )
    reload = application.reload if settings.providers_file is not None else None
    echo_s, patience_s = (_ECHO_S if settings.workers > 1 else 0.0), settings.drain_timeout_s
    return DrainingServer(config, application.service, drain_timeout_s=patience_s, reload=reload, echo_s=echo_s)
