"""A mail server on this machine, of real SMTP, that keeps what it is handed and fails
when it is told to. The standard library's own is gone since Python 3.12."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class LocalMailServer:
    """`answers`: codes with which the next recipients (RCPT) are answered, before all
    goes well; 0 hangs up."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    attempts: int = 0
    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)
    """Recipient and message, as they came."""


@contextmanager
def running_mail_server() -> Iterator[LocalMailServer]:
    local = LocalMailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 ready")
            recipient = ""
            while line := self.rfile.readline().decode().strip():
                verb, _, rest = line.partition(" ")
                if verb.upper() in ("EHLO", "HELO"):
                    self._say("250 here")
                elif verb.upper() == "RCPT":
                    local.attempts += 1
                    code = local.answers.pop(0) if local.answers else 250
                    if code == 0:
                        return
                    recipient = rest.partition("<")[2].partition(">")[0]
                    # Servers like to repeat whom they do not know.
                    self._say(f"{code} {recipient}")
                elif verb.upper() == "DATA":
                    self._say("354 go on")
                    self._take(recipient)
                    self._say("250 taken")
                elif verb.upper() == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 fine")

        def _take(self, recipient: str) -> None:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line)
            mail = message_from_bytes(b"".join(lines), policy=policy.default)
            assert isinstance(mail, EmailMessage)
            local.mails.append((recipient, mail))

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        local.port = server.server_address[1]
        yield local
        server.shutdown()
