"""nginx in one process and by a file of its own: as an unbuffered proxy, or with Nchan.

    nginx <port> proxy <upstream port>
    nginx <port> nchan

It becomes nginx, so that the process that was started is the one that is measured and ended; a master that is killed
would leave its worker.
"""

import os
import sys

from benchmarks.environments import NCHAN, NGINX, ROOT

_PROXY = """
    location / {
        proxy_pass http://127.0.0.1:%s;
        proxy_buffering off;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
    }
"""
# A hundred messages are kept for those who come back; those who come get what is new.
_NCHAN = r"""
    location ~ ^/observe/(\d+)$ {
        nchan_subscriber eventsource;
        nchan_channel_id $1;
        nchan_subscriber_first_message newest;
    }
    location ~ ^/publish/(\d+)$ {
        nchan_publisher http;
        nchan_channel_id $1;
        nchan_message_buffer_length 100;
    }
"""
_FILE = """
%(load)s
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 127.0.0.1:%(port)s backlog=2048;
        %(locations)s
    }
}
"""


def main() -> None:
    """Write the file and become nginx."""
    port, mode, *rest = sys.argv[1:]
    load = f"load_module {NCHAN};" if mode == "nchan" else ""
    locations = _NCHAN if mode == "nchan" else _PROXY % rest[0]
    home = ROOT / ".make" / "peers" / "nginx"
    home.mkdir(parents=True, exist_ok=True)
    file = home / "nginx.conf"
    file.write_text(_FILE % {"load": load, "port": port, "locations": locations})
    os.execv(NGINX, [str(NGINX), "-p", str(home), "-e", "stderr", "-c", str(file)])


if __name__ == "__main__":
    main()
