"""A Redis that lets in only whom it knows: certificates, and a user with the rights that are documented."""

import re
from pathlib import Path
from typing import NamedTuple

import trustme

_PAGE = Path(__file__).parents[2] / "docs" / "redis.md"


class Certificates(NamedTuple):
    """For a server on this machine.

    Attributes:
        options: Of its command line.
        authority: What a client is to trust.
        own: A certificate and its key, good for a client too.
    """

    options: tuple[str, ...]
    authority: Path
    own: Path


def certificates(folder: Path, *, of_clients: bool = False) -> Certificates:
    """New ones, in files of this folder.

    Args:
        of_clients: Whoever connects must show one too.
    """
    made, server, authority = trustme.CA(), folder / "server.pem", folder / "ca.pem"
    made.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(server)
    made.cert_pem.write_to_path(authority)
    files = ("--tls-cert-file", str(server), "--tls-key-file", str(server), "--tls-ca-cert-file", str(authority))
    return Certificates((*files, "--tls-auth-clients", "yes" if of_clients else "no"), authority, server)


def documented_rights(*, of_cluster: bool = False) -> list[str]:
    """The rules of the user that the documentation makes, after its password.

    Args:
        of_cluster: Those too that it adds for a cluster.
    """
    alone, beside = re.findall(r"ACL SETUSER realtime (?:on >… )?(.*?)```", _PAGE.read_text(), re.DOTALL)
    return [*alone.split(), *(beside.split() if of_cluster else ())]
