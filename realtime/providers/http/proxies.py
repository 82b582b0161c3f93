"""Whether a URL is meant to be reached through somebody else, which is left to httpx2's own transport."""

from urllib.request import getproxies, proxy_bypass

import httpx2


def proxied(url: str) -> bool:
    """The environment names a proxy for `url`, and does not except its host.

    A client that is given a transport mounts no proxies of the environment. Tunnels are where a proxy's faults, its
    credentials and SOCKS would come in: their own transport has them, and a token more or less is not what they cost.
    """
    to = httpx2.URL(url)
    proxies = getproxies()
    return bool(proxies.get(to.scheme) or proxies.get("all")) and not proxy_bypass(to.host)
