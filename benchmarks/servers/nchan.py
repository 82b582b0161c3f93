"""nginx with Nchan, as one who wants nothing lost would set it up: thousands of messages kept, pings every 15 s.

    nchan <port> <connections>

It becomes nginx. `publisher` publishes to it.
"""

import os
import sys

from benchmarks.environments import NCHAN, NGINX, ROOT

_FILE = r"""
load_module %(module)s;
daemon off;
master_process off;
pid nchan.pid;
error_log stderr error;
worker_rlimit_nofile %(files)s;
events { worker_connections %(files)s; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    nchan_shared_memory_size 128M;
    nchan_message_buffer_length 10000;
    nchan_message_timeout 10m;
    server {
        listen 127.0.0.1:%(port)s backlog=2048;
        location ~ ^/observe/(\d+)$ {
            nchan_subscriber eventsource websocket;
            nchan_channel_id $1;
            nchan_subscriber_first_message oldest;
            nchan_eventsource_ping_interval 15;
            nchan_websocket_ping_interval 15;
        }
        location ~ ^/publish/(\d+)$ {
            nchan_publisher http;
            nchan_channel_id $1;
        }
    }
}
"""


def main() -> None:
    """Write the file and become nginx."""
    port, connections = map(int, sys.argv[1:])
    home = ROOT / ".make" / "peers" / "nginx"
    home.mkdir(parents=True, exist_ok=True)
    file = home / "nchan.conf"
    file.write_text(_FILE % {"module": NCHAN, "port": port, "files": connections + 200})
    os.execv(NGINX, [str(NGINX), "-p", str(home), "-e", "stderr", "-c", str(file)])


if __name__ == "__main__":
    main()
