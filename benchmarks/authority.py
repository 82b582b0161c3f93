"""A certificate for the fake upstream, and whom to trust so that it is believed."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme


class Identity(NamedTuple):
    """Files: what a server on 127.0.0.1 shows, and the authority that vouches for it."""

    certificate: str
    authority: str


@contextmanager
def identity() -> Iterator[Identity]:
    """Files that last as long as the block."""
    with tempfile.TemporaryDirectory() as folder:
        files = Identity(str(Path(folder) / "server.pem"), str(Path(folder) / "authority.pem"))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(files.authority)
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(files.certificate)
        yield files
