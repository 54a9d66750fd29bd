"""Words of the secret, the token and the sign-in."""

from django.utils.translation import gettext_lazy as _

from smtp_settings.explaining.words import Words

_MAILBOX = _("The user name must be the mailbox.")
_APP_PASSWORD = _("Make an app password at myaccount.google.com/apppasswords and enter it as the password.")
_WAIT = _("Let 15 minutes pass without a test.")

WORDS = {
    "token1": Words(
        _("The saved password cannot be read with the current key."),
        _("Enter it again."),
        _("Ask the operator of mailconf for the former key."),
    ),
    "token2": Words(
        _("The connection to %(provider)s has expired or was revoked."),
        _("Connect again."),
        _(
            "Google ends it on a password change, after 6 unused months, and after 7 days while the app "
            "is in “Testing”."
        ),
    ),
    "token3": Words(
        _("The client secret is wrong or has expired."), _("Make a new one, and take its value, not its id.")
    ),
    "token4": Words(
        _("%(provider)s does not know this app in this tenant, or has not delegated the mailbox to it."),
        _("Check the tenant and the client ID."),
        _("Google: delegate the client ID with its scope."),
    ),
    "token5": Words(
        _("A policy or a missing consent stops the sign-in."),
        _("The administrator has to give consent, allow the scope or make an exception."),
    ),
    "token6": Words(
        _("The sign-in service of %(provider)s does not answer."),
        _("Try again."),
        _("The worker must be able to reach it by https."),
    ),
    "token7": Words(
        _("Nobody has signed in to this OAuth credential yet."), _("Open the credential, and connect it.")
    ),
    "token8": Words(
        _("The token is of another account."),
        _("Connect again with the account of the credential, or change the account there."),
    ),
    "token9": Words(
        _("The token does not allow what is needed."),
        _("Check the scope of the credential."),
        _("Connect again, and agree to everything that is asked."),
    ),
    "token10": Words(
        _("The key of the OAuth credential cannot sign."), _("Enter the key again: %(detail)s.")
    ),
    "token11": Words(
        _("The token URL may not be asked."),
        _("It must begin with https:// and lead to a public address."),
        _("Internal addresses are opened with MAILCONF_ALLOWED_NETWORKS."),
    ),
    "token12": Words(
        _("The provider gave no token."), _("Look up the error it names in the provider's documentation.")
    ),
    "auth1": Words(_("The server offers a sign-in only after encryption."), _("Use STARTTLS.")),
    "clear1": Words(
        _("The password would be sent without encryption."),
        _("Use STARTTLS, or TLS from the first byte."),
        _("Only inside a trusted network: tick that you understand it."),
    ),
    "auth2": Words(
        _("The server does not ask for a sign-in here."),
        _("Set the sign-in to None."),
        _("Or use another port: sign-in usually is on 587 or 465."),
    ),
    "secret2": Words(
        _("There is no password to sign in with."),
        _("Enter the password, or set the sign-in to None."),
    ),
    "secret1": Words(
        _("The user name or the password cannot be used for a sign-in."),
        _("Enter both again, without line breaks."),
    ),
    "auth3": Words(_("The server demands encryption first."), _("Use STARTTLS.")),
    "auth4": Words(_("This server accepts only OAuth 2.0."), _("Sign in with an OAuth 2.0 credential.")),
    "auth5": Words(
        _("The server offers only %(offered)s."),
        _("Exchange: allow basic sign-in after TLS on the connector, or let this machine send without one."),
        _("CRAM-MD5 is used only when you choose it as the sign-in mechanism."),
    ),
    "auth6": Words(
        _("The server refused the mechanism %(mechanism)s."),
        _("Set the sign-in mechanism to “Automatic”, or to one of: %(offered)s."),
    ),
    "auth7": Words(
        _("SMTP sign-in is off for the whole Microsoft 365 organisation. OAuth needs it, too."),
        _("The administrator runs: Set-TransportConfig -SmtpClientAuthenticationDisabled $false"),
    ),
    "auth8": Words(
        _("SMTP sign-in is off for this mailbox."),
        _("The administrator runs: Set-CASMailbox %(username)s -SmtpClientAuthenticationDisabled $false"),
        _("Then wait an hour."),
    ),
    "auth9": Words(
        _("A Microsoft 365 policy stops this sign-in (security defaults, conditional access)."),
        _("The administrator makes an exception for this mailbox."),
        _("Or sign in with OAuth 2.0."),
    ),
    "auth10": Words(
        _("Microsoft 365 does not allow password sign-in here."),
        _("Allow SMTP AUTH for the mailbox."),
        _("Sign in with OAuth 2.0."),
    ),
    "auth11": Words(
        _("Microsoft 365 did not accept the token."),
        _MAILBOX,
        _("Check the scope, and take the object id of the Enterprise application."),
        _("Changes take up to 2 hours."),
    ),
    "auth12": Words(
        _("Microsoft refused the user name or password."),
        _("With two-step sign-in: use OAuth 2.0."),
        _("An Exchange server in the house may want DOMAIN\\user."),
    ),
    "auth13": Words(
        _("Google did not accept the token."),
        _MAILBOX,
        _("The scope must be https://mail.google.com/."),
        _("Connect again."),
    ),
    "auth14": Words(_("Google wants an app password."), _APP_PASSWORD),
    "auth15": Words(
        _("Google stopped this sign-in as unusual."), _("Sign in once in a browser."), _APP_PASSWORD
    ),
    "auth16": Words(
        _("The SendGrid account has no credit left. The password is right."),
        _("Wait until the credit is renewed, or take a larger plan."),
    ),
    "auth17": Words(_("The account is disabled or locked at the provider."), _("Ask the provider.")),
    "auth18": Words(_("Too many refused sign-ins: the server has locked us out for a while."), _WAIT),
    "auth19": Words(
        _("Sign-in is unavailable for the moment. The password may be right."), _("Try again later.")
    ),
    "auth20": Words(_("At %(provider)s the user name is always “%(fixed_user)s”.")),
    "auth21": Words(
        _("These are not SMTP credentials of region %(region)s."),
        _("Make SMTP credentials in that region. An access key does not work."),
    ),
    "auth22": Words(
        _("Google refused the user name or password. The account password never works here."),
        _APP_PASSWORD,
        _("The user name is the full address."),
    ),
    "auth23": Words(
        _("The server refused the sign-in. Some cannot read letters outside English in a password."),
        _("Set a plain password at the provider, to find out."),
    ),
    "auth24": Words(
        _("The server refused the user name or password."),
        _("The user name usually is the full address (web.de and Free: the part before the @)."),
        _("Some providers want an app password or a key instead of the account's password."),
        _("Look for spaces at the ends."),
        _("Is the account active, and allowed to send?"),
    ),
    "auth25": Words(_("The server hung up during sign-in."), _("It may have locked us out."), _WAIT),
}
