"""Words of the transaction."""

from django.utils.translation import gettext_lazy as _

from smtp_settings.explaining.words import Words

_ANOTHER_ADDRESS = _("Send to another address.")
_MAILBOX_FULL = _("The recipient's mailbox is full.")
_ONLY_INSIDE = _("The recipient takes mail only from inside.")
_VERIFY_SENDER = _("Verify the sender or its domain there.")
_LATER = _("Try again later.")

WORDS = {
    "send1": Words(_("The server may have accepted the message."), _("Look in the inbox."), _("Test again.")),
    "send2": Words(_("The connection broke before the message was handed over."), _("Try again.")),
    "send3": Words(_("The server demands encryption first."), _("Use STARTTLS.")),
    "send4": Words(
        _("The server wants a sign-in first."), _("Set the sign-in to Password, with user name and password.")
    ),
    "send5": Words(
        _("%(username)s may not send as %(sender)s in Microsoft 365."),
        _("Let the administrator grant “Send As”, or send as the mailbox itself."),
        bare=_("This account may not send as %(sender)s in Microsoft 365."),
    ),
    "send6": Words(
        _("The domain of %(sender)s is not in DNS, or takes no mail."),
        _("Check the spelling."),
        _("The domain needs an MX record."),
    ),
    "send7": Words(
        _("This account may not send as %(sender)s."),
        _("Allow this sender at the server, or send as the account itself."),
    ),
    "send8": Words(
        _("Amazon SES: %(identity)s is not verified in %(region)s. In the sandbox recipients must be, too."),
        _("Verify it there."),
        _("Ask for production access."),
        _("Check that this is the right region."),
        bare=_("Amazon SES: the sender or a recipient is not verified in this region."),
    ),
    "send9": Words(_("%(provider)s has not verified %(sender)s."), _VERIFY_SENDER),
    "send10": Words(
        _("The server does not relay for this sender."),
        _("Sign in."),
        _("Or have %(our_address)s allowed by the server's owner."),
    ),
    "send11": Words(
        _("The server does not relay for this account."),
        _("Check that this is the right server."),
        _("Use a From address of its domain."),
    ),
    "send12": Words(
        _("The provider drops mail for this recipient (suppression list)."),
        _("Remove the address from that list."),
    ),
    "send13": Words(
        _("The server allows fewer connections (Microsoft: 3 for a mailbox)."),
        _("Use two connections at once."),
    ),
    "send14": Words(
        _("The server takes only some messages per connection."), _("MailerSend takes 5, SparkPost 100.")
    ),
    "send15-test": Words(_MAILBOX_FULL, _ANOTHER_ADDRESS),
    "send15": Words(_MAILBOX_FULL, _("Retry when the recipient has made room.")),
    "send16": Words(_("The recipient gets mail faster than allowed."), _("Wait.")),
    "send17": Words(
        _("The daily quota is used up."),
        _("Wait until it is renewed (Microsoft 365 5.7.233: the quota is that of the whole organisation)."),
        _("Use a second server, or take a larger plan."),
    ),
    "send18": Words(_("The provider takes this for bulk mail."), _("Send slower."), _("Ask the provider.")),
    "send19": Words(
        _("We send faster than this provider allows."),
        _("mailconf slows down by itself."),
        _("Enter the provider's limit per minute."),
    ),
    "send20": Words(
        _("The provider has stopped sending for this account."),
        _("Finish its set-up there."),
        _("Ask the provider."),
    ),
    "send21": Words(
        _("The message (%(size)s MB) is larger than the server allows (%(limit)s MB)."),
        _("Send links, not attachments."),
        bare=_("The message is larger than the server allows."),
    ),
    "send22": Words(
        _("The provider rejects this message. Its code says temporary, but a retry will not help."),
        _("Its words say what is missing."),
    ),
    "send23": Words(_("The recipient's domain takes no mail."), _("Check the spelling of the address.")),
    "send24-test": Words(_("The test recipient does not exist."), _ANOTHER_ADDRESS),
    "send24": Words(
        _("The server does not know this recipient."),
        _("Retrying will not help unless the address is corrected."),
    ),
    "send25": Words(_("Too many recipients in one message. The rest follows by itself.")),
    "send26-test": Words(_ONLY_INSIDE, _ANOTHER_ADDRESS),
    "send26": Words(_ONLY_INSIDE, _("Ask the recipient to take mail from outside.")),
    "send27": Words(
        _("The address has letters this server cannot carry."), _("Use another address or another server.")
    ),
    "send28": Words(
        _("The receiving side does not believe that this mail is from %(domain)s."),
        _("Look at DNS for the From domain: SPF, DKIM, DMARC."),
        bare=_("The receiving side does not believe that this mail is from the sender's domain."),
    ),
    "send29": Words(_("The server finds an attachment dangerous."), _("Use another file type, or a link.")),
    "send30": Words(_("The server's disk is full for the moment."), _LATER),
    "send31": Words(
        _("The server dislikes the form of the message."),
        _("Send the conversation to the makers of mailconf."),
    ),
    "send32": Words(_("The server cannot read the address %(bounce_or_sender)s."), _("Check its spelling.")),
    "send32-recipient": Words(
        _("The server cannot read the address %(recipient)s."),
        _("Check its spelling."),
        bare=_("The server cannot read the recipient's address."),
    ),
    "send33": Words(
        _("The server asks to try again in %(minutes)s minutes. Settings look fine."),
        _("Try again then. Some servers do this with everybody they meet for the first time."),
        bare=_("The server asks to try again in some minutes. Settings look fine."),
    ),
    "send34": Words(
        _("The conversation fell out of step; a new connection is used."),
        _("If it repeats, ask the provider with the report below."),
    ),
    "send35": Words(
        _("This account may not send as %(sender)s."),
        _VERIFY_SENDER,
        bare=_("This account may not send as this sender."),
    ),
    "send36": Words(
        _("The receiving side refuses us or the recipient."),
        _("Look whether %(our_address)s is on a block list."),
        _("Look at DNS for the From domain: SPF, DKIM."),
    ),
    "send37": Words(_("The server could not take the message now."), _LATER),
    "send38": Words(
        _("The server refused the message (content, spam, policy)."),
        _("Try another subject and fewer links."),
        _("Look at DNS for the From domain: SPF, DKIM, DMARC."),
    ),
}
