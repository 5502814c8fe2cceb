"""E-mails through SMTP: one message, one attempt, and what its failure means.

Belongs here: the message and the conversation with the server. Whether it may be sent,
and again, is for `deliveries`. What a server answers in words is not kept: it may repeat
the address.
"""

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any

from nearline.errors import InputError
from nearline.settings import Settings
from nearline.triggers.moments import moment_of

TIMEOUT_SECONDS = 20.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mails are handed in, and who they are from."""

    host: str
    port: int
    security: str
    sender: str
    user: str | None = None
    password: str | None = None


class MailError(Exception):
    """An e-mail was not taken; `may_pass` if it may be another time."""

    def __init__(self, problem: str, *, may_pass: bool) -> None:
        super().__init__(problem)
        self.may_pass = may_pass


def mail_server(settings: Settings) -> MailServer:
    """The server that the settings name.

    Raises:
        InputError: a setting is missing or cannot be.
    """
    if not settings.smtp_host:
        raise InputError("NEARLINE_SMTP_HOST is not set; e-mails are handed in there")
    if "@" not in parseaddr(settings.smtp_from or "")[1]:
        raise InputError(
            "NEARLINE_SMTP_FROM must be a sender such as `Shop <hello@shop.example>`"
        )
    assert settings.smtp_from is not None
    if settings.smtp_security == "none" and settings.smtp_host not in _LOOPBACK:
        raise InputError(
            "NEARLINE_SMTP_SECURITY=none is for a server on this machine; use starttls "
            "or tls"
        )
    password = settings.smtp_password
    return MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_security,
        settings.smtp_from,
        settings.smtp_user,
        None if password is None else password.get_secret_value(),
    )


def compose(
    server: MailServer,
    address: str,
    message_id: str,
    content: dict[str, Any],
    fired_at: int,
) -> EmailMessage:
    """The e-mail. Sent again, it has the same Message-ID and date.

    Raises:
        MailError: the address is none that a header can hold.
    """
    mail = EmailMessage()
    domain = parseaddr(server.sender)[1].rpartition("@")[2]
    try:
        mail["From"] = server.sender
        mail["To"] = address
    except ValueError as problem:
        raise MailError("the address is no address", may_pass=False) from problem
    mail["Subject"] = content["subject"]
    mail["Message-ID"] = f"<{message_id}@{domain}>"
    mail["Date"] = format_datetime(moment_of(fired_at))
    text = content["text"]
    if content.get("unsubscribe_url"):
        mail["List-Unsubscribe"] = f"<{content['unsubscribe_url']}>"
        text = f"{text.rstrip()}\n\n--\n{content['unsubscribe_url']}\n"
    mail.set_content(text)
    return mail


def send_mail(server: MailServer, mail: EmailMessage) -> None:
    """Hands an e-mail in.

    Raises:
        MailError: the server is away, or did not take it.
    """
    try:
        with _connected(server) as connection:
            connection.send_message(mail)
    except smtplib.SMTPRecipientsRefused as problem:
        [(code, _)] = problem.recipients.values()
        raise MailError(
            f"the recipient was refused with {code}", may_pass=400 <= code < 500
        ) from None
    except smtplib.SMTPResponseException as problem:
        code = problem.smtp_code
        # What is wrong with our own log-in is for the operator to mend, then it passes.
        is_log_in = isinstance(problem, smtplib.SMTPAuthenticationError)
        raise MailError(
            f"the mail server answered {code}",
            may_pass=is_log_in or code < 500,
        ) from None
    except (smtplib.SMTPException, OSError) as problem:
        name = type(problem).__name__
        raise MailError(f"the mail server is away ({name})", may_pass=True) from None


def _connected(server: MailServer) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if server.security == "tls":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=TIMEOUT_SECONDS, context=context
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    try:
        if server.security == "starttls":
            connection.starttls(context=context)
        if server.user is not None:
            connection.login(server.user, server.password or "")
    except BaseException:
        connection.close()
        raise
    return connection
