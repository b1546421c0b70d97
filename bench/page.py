#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""page.py - how often a second the server hands out the script of the page, and what that costs it, against
nginx with the same bytes: with connections that are kept and with one for each GET, plain and over TLS, where
each client resumes its session. nginx comes from tools/deps test. The clients are Python, and slower than either
server over TLS, so the processor time is the better figure there."""
import contextlib
import gzip
import json
import multiprocessing
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
sys.dont_write_bytecode = True
import bundle  # noqa: E402

NGINX = ROOT / "build" / "unpacked" / "usr" / "sbin" / "nginx"
SECONDS, CLIENTS, ROUNDS = 4, 4, 2
CONF = """worker_processes 2; daemon off; pid {folder}/pid; error_log {folder}/error; {user}
events {{ worker_connections 1000; }}
http {{
    access_log off; types {{ text/javascript js; }} gzip_static on; sendfile on; tcp_nopush on; keepalive_requests 100;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{ listen 127.0.0.1:{port} {tls}; root {folder}; }}
}}"""


def start_ours(folder, tls):
    config, said = folder / f"{tls}.json", folder / f"{tls}.out"
    settings = {"SSL": tls, "SSL_Cert": str(folder / "c.crt"), "SSL_Key": str(folder / "k.pem"), "server_ip": "127.0.0.1",
                "server_port": 0, "server_name": "page", "server_password": "", "max_clients_per_address": 0}  # fmt: skip
    config.write_text(json.dumps({**settings, "log_level": "warn"}))
    with open(said, "wb") as out:
        process = subprocess.Popen([ROOT / "ragnarok", "-c", config, "--allow-root"], cwd=folder, stdout=out)
    while not (found := re.search(r"127\.0\.0\.1:(\d+)", said.read_text())):
        assert process.poll() is None, "the server ended"
        time.sleep(0.05)
    return process, int(found[1])


def start_nginx(folder, tls, name, content):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = folder / f"nginx-{tls}"
    home.mkdir()
    (home / name).write_bytes(content)
    (home / f"{name}.gz").write_bytes(gzip.compress(content, 9))
    certificate = f"ssl; ssl_certificate {folder}/c.crt; ssl_certificate_key {folder}/k.pem"
    user = "user root;" if os.geteuid() == 0 else ""
    conf = CONF.format(folder=home, port=port, tls=certificate if tls else "", user=user)
    (home / "nginx.conf").write_text(conf)
    process = subprocess.Popen([NGINX, "-c", home / "nginx.conf", "-p", home, "-e", home / "error"])
    while True:
        assert process.poll() is None, (home / "error").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return process, port
        time.sleep(0.05)


def cpu_of(process):
    """Processor time of a process and its children, in seconds."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ticks = 0
    for pid in (process.pid, *children):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def get(line, ask):
    """One GET. Returns whether the connection is kept."""
    line.sendall(ask)
    head = line.recv(65536)
    while b"\r\n\r\n" not in head:
        head += line.recv(65536)
    head, _, rest = head.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    left = int(re.search(rb"(?i)content-length: (\d+)", head)[1]) - len(rest)
    while left > 0:
        left -= len(line.recv(65536))
    return b"onnection: close" not in head


def client(port, tls, keep, name, done):
    end = "" if keep else "Connection: close\r\n"
    ask = f"GET /{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n{end}\r\n".encode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    count, session, until = 0, None, time.monotonic() + SECONDS
    while time.monotonic() < until:
        line = socket.create_connection(("127.0.0.1", port))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            line = context.wrap_socket(line, session=session)
        with line:
            more = True
            while more and time.monotonic() < until:
                more = get(line, ask) and keep
                count += 1
            session = line.session if tls else None
    done.put(count)


def measure(server, *how):
    """GETs a second, and microseconds of the server's processor time for each."""
    process, port = server
    done = multiprocessing.Queue()
    clients = [multiprocessing.Process(target=client, args=(port, *how, done)) for _ in range(CLIENTS)]
    before = cpu_of(process)
    for one in clients:
        one.start()
    count = sum(done.get() for _ in clients)
    for one in clients:
        one.join()
    return count / SECONDS, (cpu_of(process) - before) / count * 1e6


def compare(folder, tls, name, content):
    servers = start_ours(folder, tls), start_nginx(folder, tls, name, content)
    try:
        for keep in (True, False):
            rounds = [[measure(server, tls, keep, name) for server in servers] for _ in range(ROUNDS)]
            rates = [max(one[i][0] for one in rounds) for i in (0, 1)]
            costs = [min(one[i][1] for one in rounds) for i in (0, 1)]
            print(f"{'TLS' if tls else 'plain'}, {'kept' if keep else 'one each'}: {rates[0]:.0f} and {rates[1]:.0f} GETs/s "
                  f"({rates[0] / rates[1]:.2f} of nginx), {costs[0]:.0f} and {costs[1]:.0f} us each", flush=True)  # fmt: skip
    finally:
        for process, _ in servers:
            process.terminate()
            process.wait()


def main():
    if not NGINX.exists():
        sys.exit(f"page.py: {NGINX} is missing; run tools/deps test")
    (script,) = [file for file in bundle.bundle(ROOT / "web") if file.name.startswith("app-")]
    with tempfile.TemporaryDirectory() as folder:
        for tls in (True, False):  # the first start makes the certificate
            compare(Path(folder), tls, script.name, script.content)


if __name__ == "__main__":
    main()
