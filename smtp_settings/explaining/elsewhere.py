"""Words of programs, directories and HTTP interfaces, of what comes after a pass, and of no cause at all."""

from django.utils.translation import gettext_lazy as _

from smtp_settings.explaining.words import Words

_ITS_LOG = _("Its log says more.")

WORDS = {
    "local1": Words(
        _("%(path)s does not exist where the worker runs."), _("In a container, paths are the container's.")
    ),
    "local2": Words(
        _("The worker (user %(worker_user)s) has no right to use %(path)s."),
        _("Check the rights and the mount."),
        bare=_("The worker has no right to use %(path)s."),
    ),
    "local3": Words(_("No space left in %(path)s."), _("Make room, or choose another directory.")),
    "local4": Words(
        _("The temporary folder is on another file system."), _("Choose a directory on the same one.")
    ),
    "local5": Words(_("The mail program is busy. It will be tried again.")),
    "local6": Words(_("The mail program is not set up: exit %(code)s."), _ITS_LOG),
    "local7": Words(_("The mail program refused the message: exit %(code)s."), _ITS_LOG),
    "local8": Words(_("The mail program was stopped. It may have taken the message."), _ITS_LOG),
    "local9": Words(_("Nobody empties the directory."), _("Start the program that picks the files up.")),
    "local10": Words(
        _("%(path)s is not one of the programs that may be run here."),
        _("The operator of mailconf says which ones may: MAILCONF_SENDMAIL_PROGRAMS."),
    ),
    "local11": Words(
        _("%(path)s is part of Postfix's own queue, where only Postfix may write."),
        _("Use the delivery method “sendmail program” instead."),
        _("Or choose a directory that another program empties."),
    ),
    "local12": Words(
        _("boto3, which speaks to Amazon SES, is not installed where the worker runs."),
        _("The operator of mailconf installs it: mailconf[ses]."),
        _("Amazon SES by SMTP needs nothing more."),
    ),
    "local13": Words(
        _("A plain file goes to everybody in its To and Cc lines, and not all of them were to get this one."),
        _("Use the file style with X-Sender and X-Receiver lines."),
    ),
    "api7": Words(_("The message is larger than the provider takes."), _("Links, not attachments.")),
    "api8": Words(_("No usable key was found."), _("Enter the key again.")),
    "api10": Words(
        _("Amazon SES does not know what it was asked for in %(region)s: %(reply)s"),
        _("Check the region and the configuration set."),
    ),
    "api9": Words(_("The provider refused the message."), _("Its words say why.")),
    "api1": Words(
        _("The key is refused or may not send."), _("Use a sending key, or a role that may send email.")
    ),
    "api2": Words(
        _("Mailgun does not know this domain in %(region)s."),
        _("Try the other region."),
        bare=_("Mailgun does not know this domain in this region."),
    ),
    "api3": Words(
        _("The address answered, but it is not the sending address. Nothing was sent."),
        _("Enter the domain alone, without “/”."),
    ),
    "api4": Words(
        _("The provider has stopped sending for this account, or has not verified the sender."),
        _("Finish its set-up there."),
        _("Verify the sender or its domain there."),
    ),
    "api5": Words(_("We send faster than this provider allows."), _("mailconf slows down by itself.")),
    "api6": Words(
        _("The provider may have accepted the message."), _("Look in the inbox."), _("Test again.")
    ),
    "after1": Words(
        _("%(server)s accepted it as “%(reply)s”; what came after, only its log knows."),
        _("Wait 10 minutes."),
        _("Look in the spam folder."),
        _("Look at the provider's activity page."),
        _("Try another recipient."),
        bare=_("%(server)s accepted it; what came after, only its log knows."),
    ),
    "after2": Words(
        _("The domain does not vouch for this server."),
        _("Look at DNS for the From domain: SPF, DKIM, DMARC."),
        _("New domains start slowly."),
    ),
    "after3": Words(
        _("This does not show that the server relays to others."),
        _("Send a test to a recipient elsewhere."),
    ),
    "after4": Words(_("Not encrypted (as configured)."), _("Use STARTTLS if the server offers it.")),
    "after6": Words(_("Not encrypted (as configured), though the server offers STARTTLS.")),
    "after5": Words(
        _(
            "The server takes messages of up to %(limit_mb)s MB, and this profile allows attachments of "
            "%(max_size)s MB."
        ),
        _("Set Max attachments size to %(limit_mb)s MB or less: larger mail then goes to another server."),
        bare=_("The server takes messages of less than 1 MB, and this profile allows larger attachments."),
    ),
    "fault1": Words(
        _("The test ended because of a fault in mailconf."),
        _("The log of mailconf has the details: show them to its operator."),
    ),
    "other": Words(
        _("%(step)s failed: %(detail)s."),
        _("Send the report below to the provider."),
        bare=_("%(step)s failed."),
    ),
}
