"""SMTP submission: connect, sign in, and carry messages with strict reply accounting."""

from transports.smtp.settings import SMTPSettings, Timeouts
from transports.smtp.transport import SMTPTransport

__all__ = ["SMTPSettings", "SMTPTransport", "Timeouts"]
