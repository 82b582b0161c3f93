"""nginx as an unbuffered proxy before the fake upstream, in one process and by a file of its own.

    nginx <port> <upstream url>

It becomes nginx, so that the process that was started is the one that is measured and ended; a master that is killed
would leave its worker.
"""

import os
import sys

from benchmarks.environments import NGINX, ROOT

_FILE = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 127.0.0.1:%s backlog=2048;
        location / {
            proxy_pass %s;
            proxy_buffering off;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
"""


def main() -> None:
    """Write the file and become nginx."""
    home = ROOT / ".make" / "peers" / "nginx"
    home.mkdir(parents=True, exist_ok=True)
    file = home / "nginx.conf"
    file.write_text(_FILE % (sys.argv[1], sys.argv[2]))
    os.execv(NGINX, [str(NGINX), "-p", str(home), "-e", "stderr", "-c", str(file)])


if __name__ == "__main__":
    main()
