"""A real nginx as the edge, with the configuration that the documentation ships."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.pipeline import ROOT
from tests.ports import free_ports

EXAMPLE = ROOT / "docs" / "edge" / "nginx.conf"
_START_SECONDS = 30
# Debian's is where only root looks.
_NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
_MAIN = """
# As root it would have workers that may not enter the folder; others it does not ask.
user root;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {example}
    {careless}
}}
"""
# Keeps whatever it is allowed to, by the URL alone: what a wrong rule of a CDN would do.
_CARELESS = """
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://nearline;
            proxy_cache nearline;
            proxy_cache_methods GET HEAD POST;
            proxy_cache_key $request_uri;
            proxy_ignore_headers Vary;
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
"""


@dataclass
class Nginx:
    """Where it answers: as the documentation has it, and an edge that keeps all it may."""

    folder: Path
    port: int
    careless_port: int
    upstreams: tuple[int, int]
    _running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def careless_url(self) -> str:
        return f"http://127.0.0.1:{self.careless_port}"

    @property
    def upstream_url(self) -> str:
        """One of the services behind it."""
        return f"http://127.0.0.1:{self.upstreams[0]}"

    def errors(self) -> str:
        """What it told of its upstreams."""
        return (self.folder / "error.log").read_text()

    def start(self) -> None:
        """Returns when it answers, whatever is behind it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / "nginx.conf"
        place.write_text(
            _MAIN.format(
                folder=self.folder,
                example=self._example(),
                careless=_CARELESS.format(port=self.careless_port),
            )
        )
        command = [_NGINX, "-p", str(self.folder), "-c", str(place)]
        with (self.folder / "out").open("ab") as output:
            self._running = subprocess.Popen(command, stdout=output, stderr=output)
        end = time.monotonic() + _START_SECONDS
        while True:
            assert self._running.poll() is None, (self.folder / "out").read_text()
            assert time.monotonic() < end, "nginx does not answer"
            try:
                httpx.get(f"{self.url}/healthz")
                return
            except httpx.TransportError:
                time.sleep(0.02)

    def stop(self) -> None:
        if self._running is not None:
            self._running.send_signal(signal.SIGTERM)
            self._running.wait()
            self._running = None

    def _example(self) -> str:
        """The shipped file with the ports and places of this test."""
        text = EXAMPLE.read_text()
        first, second = self.upstreams
        for stands, becomes in (
            ("server 127.0.0.1:8090 ", f"server 127.0.0.1:{first} "),
            ("server 127.0.0.1:8091 ", f"server 127.0.0.1:{second} "),
            ("listen 8080;", f"listen 127.0.0.1:{self.port};"),
            ("/var/cache/nginx/nearline ", f"{self.folder}/cache "),
        ):
            assert text.count(stands) == 1, stands
            text = text.replace(stands, becomes)
        return text


@contextmanager
def running_nginx(folder: Path, upstreams: tuple[int, int]) -> Iterator[Nginx]:
    """An edge before two services, until the block ends."""
    port, careless_port = free_ports(2)
    server = Nginx(folder, port, careless_port, upstreams)
    server.start()
    try:
        yield server
    finally:
        server.stop()
