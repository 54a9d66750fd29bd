"""The way out by Amazon's SES API v2, over boto3: an extra, imported where it is first needed.

There is no idempotency token, and botocore would send again by itself after time-outs and 5xx: that is
switched off. The From address of the message stands; SES knows no envelope sender. boto3 blocks, so each call
is in a thread. Their statuses say little (400 for nearly all), so a refusal has the status of HTTP that means
the same, and their own word in front of its text.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transports.base import Observer, Phase, Reply, Secret, Session, StepVerdict
from transports.errors import (
    ConnectionLost,
    ConnectTimeout,
    CouldNotConnect,
    CredentialsNotUsable,
    NotSendable,
    NotUsableHere,
    ReplyRefused,
    ReplyTimeout,
    TLSFailed,
    TransportError,
)
from transports.retry_after import with_wait
from transports.smtp.redaction import Redactor
from transports.smtp.reply import MAX_TEXT, clean
from transports.smtp.transcript import Stage, Trace, stage
from transports.whole import Handing, WholeSession

#: Recipients of one message.
MOST_RECIPIENTS = 50

#: What their refusals are in HTTP's own numbers; any other keeps its status.
_STATUS: Mapping[str, int] = {
    "AccountSuspendedException": 403,
    "SendingPausedException": 403,
    "MailFromDomainNotVerifiedException": 403,
    "AccessDeniedException": 403,
    "SignatureDoesNotMatch": 403,
    "InvalidClientTokenId": 403,
    "UnrecognizedClientException": 403,
    "ExpiredTokenException": 403,
    "NotFoundException": 404,
    "TooManyRequestsException": 429,
    "ThrottlingException": 429,
    "Throttling": 429,
    "LimitExceededException": 429,
}


@dataclass(frozen=True)
class SESSettings:
    """Which region, with what key, as whom.

    `key` None means this machine's role. `sender` is the address a test asks about, `bounce_address` where
    SES reports bounces and complaints, "" for where it does by itself. `endpoint` "" is the region's own.
    """

    region: str
    access_key_id: str = ""
    key: Callable[[], Secret] | None = field(default=None, repr=False)
    configuration_set: str = ""
    sender: str = ""
    bounce_address: str = ""
    endpoint: str = ""
    connect: float = 30
    answer: float = 600


class SESTransport:
    """See `transports.base.Transport`."""

    def __init__(self, settings: SESSettings) -> None:
        self.settings = settings

    async def open(
        self,
        observer: Observer | None = None,
        *,
        sequential: bool = False,  # noqa: ARG002 - one request at a time
    ) -> Session:
        """Make a client; for an observer ask about the account and the sender. Raises TransportError."""
        trace = Trace(observer) if observer is not None else None
        settings = self.settings
        with stage(trace, Phase.FIND) as step:
            step.evidence = {"path": "boto3"}
            secret = settings.key() if settings.key is not None else None
            client, errors = await asyncio.to_thread(_client, settings, secret)
        redactor = Redactor(*([secret.reveal().encode()] if secret is not None else []))
        session = SESSession(settings, client, errors, redactor, trace)
        if trace is not None:
            await session.look(trace)
        return session


class SESSession(WholeSession):
    """One client of boto3."""

    def __init__(
        self,
        settings: SESSettings,
        client: Any,  # Any: boto3 makes its clients' classes at run time
        errors: Any,
        redactor: Redactor,
        trace: Trace | None,
    ) -> None:
        super().__init__(trace)
        self._settings, self._client, self._errors, self._redactor = settings, client, errors, redactor

    async def look(self, trace: Trace) -> None:
        """Ask for the account's state and for the sender's. Raises TransportError.

        A key or role that may only send is told neither.
        """
        with stage(trace, Phase.KEY) as step:
            step.evidence = {"region": self._settings.region}
            try:
                account = await self._call(Phase.KEY, self._client.get_account)
            except ReplyRefused as error:
                if not _may_not_look(error):
                    raise
                step.reply, step.verdict = error.reply, StepVerdict.WARNING
                step.detail = "This key may not read the account's state. Sending shows whether it may send."
                account = {}
            _look_at_account(account, step)
        with stage(trace, Phase.IDENTITY) as step:
            await self._look_at_sender(step)

    async def _look_at_sender(self, step: Stage) -> None:
        """Say whether the address or its domain is verified."""
        sender = self._settings.sender
        names = list(filter(None, (sender, sender.rpartition("@")[2])))
        step.evidence = {"identity": ", ".join(names)}
        try:
            is_verified = any([await self._is_verified(name) for name in names])
        except ReplyRefused as error:
            step.reply, step.verdict, step.detail = error.reply, StepVerdict.SKIPPED, "Not told."
            return
        if not names:
            step.verdict, step.detail = StepVerdict.SKIPPED, "Not told."
        elif not is_verified:
            step.verdict, step.detail = StepVerdict.WARNING, "Amazon SES has not verified the sender here."

    async def _is_verified(self, identity: str) -> bool:
        try:
            found = await self._call(Phase.IDENTITY, self._client.get_email_identity, EmailIdentity=identity)
        except ReplyRefused as error:
            if error.reply is not None and error.reply.code == 404:
                return False
            raise
        return bool(found.get("VerifiedForSendingStatus"))

    async def _hand_over(self, handing: Handing) -> Reply:
        handing.offered = min(handing.offered, MOST_RECIPIENTS)
        handing.said(f"SendEmail, {handing.offered} recipients, {handing.content.size_bytes} bytes")
        message: dict[str, Any] = {  # Any: the request's parts
            "Destination": {"ToAddresses": list(handing.recipients)},
            "Content": {"Raw": {"Data": b"".join(handing.content.segments)}},
        }
        if self._settings.configuration_set:
            message["ConfigurationSetName"] = self._settings.configuration_set
        if self._settings.bounce_address and handing.envelope.mail_from:  # nobody is told of a bounced bounce
            message["FeedbackForwardingEmailAddress"] = self._settings.bounce_address
        handing.complete()
        try:
            answer = await self._call(Phase.API, self._client.send_email, **message)
        except (CouldNotConnect, TLSFailed, CredentialsNotUsable):
            handing.taken_back()  # nothing was sent
            raise
        except ReplyRefused as error:
            handing.heard(str(error.reply))
            raise
        name = clean(str(answer.get("MessageId") or "").encode("utf-8", "replace"))[:200]
        if not name:
            reply = Reply(200, "There is no message id in the answer.")
            raise ReplyRefused("Amazon SES did not take the message.", phase=Phase.API, reply=reply)
        handing.heard(f"200 id={name}")
        return Reply(200, f"Ok id={name}")

    async def _call(self, phase: Phase, act: Callable[..., Any], **values: Any) -> Any:  # Any: of boto3
        """Make one call in a thread. Raises TransportError, ReplyRefused for what was answered."""
        try:
            return await asyncio.to_thread(act, **values)
        except (self._errors.BotoCoreError, self._errors.ClientError) as error:
            ours = _translated(error, self._errors, phase, self._redactor)
        raise ours  # outside: theirs may quote the request


def _client(settings: SESSettings, secret: Secret | None) -> tuple[Any, Any]:
    """Return a client and botocore's exceptions. Raises NotUsableHere without the extra."""
    try:
        import boto3  # noqa: PLC0415 - an extra, and slow to import
        from botocore import exceptions  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as error:
        sentence = "boto3 is not installed where this runs: install mailconf[ses]."
        raise NotUsableHere(sentence, phase=Phase.FIND, reason="not-installed") from error
    options: dict[str, Any] = {  # Any: the stubs do not know the last one
        "retries": {"total_max_attempts": 1},
        "connect_timeout": settings.connect,
        "read_timeout": settings.answer,
        "ignore_configured_endpoint_urls": True,
    }
    own: dict[str, Any] = {}  # Any: no argument of another type is among them
    if secret is not None:
        own = {"aws_access_key_id": settings.access_key_id, "aws_secret_access_key": secret.reveal()}
    try:
        session = boto3.session.Session(region_name=settings.region, **own)
        client = session.client("sesv2", config=Config(**options), endpoint_url=settings.endpoint or None)
    except exceptions.BotoCoreError as error:
        raise _translated(error, exceptions, Phase.KEY, Redactor()) from None
    return client, exceptions


def _translated(error: Any, errors: Any, phase: Phase, redactor: Redactor) -> TransportError:  # Any: boto3's
    """Return our error for one of botocore's; those of its connection that may be late come last."""
    if isinstance(error, errors.ClientError):
        return ReplyRefused("Amazon SES refuses.", phase=phase, reply=_reply(error.response, redactor))
    no_credentials = (
        errors.NoCredentialsError,
        errors.PartialCredentialsError,
        errors.CredentialRetrievalError,
    )
    if isinstance(error, no_credentials):
        return CredentialsNotUsable("No key was found for Amazon SES.", phase=Phase.KEY)
    if isinstance(error, errors.ConnectTimeoutError):
        return ConnectTimeout("Amazon SES did not answer in time.", phase=Phase.CONNECT)
    if isinstance(error, errors.SSLError):
        return TLSFailed("The TLS handshake failed.", phase=Phase.TLS)
    if isinstance(error, errors.EndpointConnectionError):
        return CouldNotConnect("Amazon SES cannot be reached.", phase=Phase.CONNECT)
    if isinstance(error, errors.ParamValidationError):
        return NotSendable("Amazon SES cannot be told this message.", phase=phase)
    if isinstance(error, errors.ReadTimeoutError):
        return ReplyTimeout("Amazon SES did not answer in time.", phase=phase)
    return ConnectionLost("Amazon SES closed the connection.", phase=phase)


def _reply(response: Mapping[str, Any], redactor: Redactor) -> Reply:  # Any: JSON
    """Return a refusal: the status that says the same, their word, their sentence, the wait it asks for."""
    said, about = response.get("Error") or {}, response.get("ResponseMetadata", {})
    word, words = str(said.get("Code") or ""), str(said.get("Message") or "")
    status = about.get("HTTPStatusCode")
    text = clean(redactor.redact(f"{word}: {words}".encode("utf-8", "replace")))[: MAX_TEXT - 30]
    text = with_wait(text, about.get("HTTPHeaders", {}))
    return Reply(_STATUS.get(word, status if isinstance(status, int) else 500), text)


def _may_not_look(error: ReplyRefused) -> bool:
    """Whether the key was read and has no right to look, which is as it should be."""
    return error.reply is not None and error.reply.text.startswith("AccessDenied")


def _look_at_account(account: Mapping[str, Any], step: Stage) -> None:  # Any: JSON
    """Say what the account may do. Raises ReplyRefused when it may not send at all."""
    if not account:
        return
    quota = account.get("SendQuota") or {}
    step.evidence |= {
        "quota": f"{quota.get('SentLast24Hours', 0):.0f} / {quota.get('Max24HourSend', 0):.0f}",
        "rate": f"{quota.get('MaxSendRate', 0):.0f}",
    }
    if account.get("SendingEnabled") is False:
        reply = Reply(403, "SendingPausedException: sending is switched off for this account")
        raise ReplyRefused("Amazon SES refuses.", phase=Phase.KEY, reply=reply)
    if account.get("ProductionAccessEnabled") is False:
        step.verdict = StepVerdict.WARNING
        step.detail = "The account is in the sandbox: only verified recipients get mail."
