"""Words of encryption."""

from django.utils.translation import gettext_lazy as _

from smtp_settings.explaining.words import Words

_OWNER_UPDATES = _("The server's owner must update it.")

WORDS = {
    "tls1": Words(
        _("The server does not offer encryption on this port."),
        _("Try 465 with TLS from the first byte."),
        _("No encryption only inside a trusted network."),
    ),
    "tls2": Words(
        _("The server cannot start encryption now. Nothing was sent in clear."),
        _("Try again."),
        _("Tell the server's owner."),
    ),
    "tls3": Words(
        _("The server does not speak TLS on this port."), _("The port may start unencrypted: use STARTTLS.")
    ),
    "tls4": Words(
        _("Connected, but TLS got no answer. The port may start unencrypted."),
        _("Use STARTTLS, usually on port 587."),
    ),
    "tls5": Words(
        _("A certificate is for names, not for %(server)s."),
        _("Enter the server's name, not its address. The certificate names: %(names)s."),
    ),
    "tls6": Words(
        _("The certificate is for %(names)s, not for %(server)s."),
        _("Enter the name that is in the certificate, if it is the same server."),
        _("Ask the server's owner which name to use."),
        bare=_("The certificate is not for %(server)s."),
    ),
    "tls7": Words(
        _("Not signed by a known authority, but by itself. SHA-256 %(fingerprint)s"),
        _("Compare this number with the one the server's owner tells you, then trust the certificate."),
        bare=_("The certificate is not signed by a known authority, but by itself."),
    ),
    "tls8": Words(
        _("Not signed by a known authority, or its intermediate is missing. SHA-256 %(fingerprint)s"),
        _("Paste the certificate of the authority into “Own CA certificates”."),
        _("Or compare the number with the one the server's owner tells you, then trust this certificate."),
        _("Tell the server's owner if the intermediate is missing."),
        bare=_("Not signed by a known authority, or its intermediate is missing."),
    ),
    "tls9": Words(
        _("The certificate expired on %(expires_at)s."),
        _("The server's owner must renew it."),
        bare=_("The certificate has expired."),
    ),
    "tls10": Words(
        _("The certificate is not valid before %(starts_at)s. This machine says %(now)s."),
        _("Is this machine's clock right?"),
        bare=_("The certificate is not valid yet."),
    ),
    "tls11": Words(
        _("The certificate is made in a way that is no longer accepted."),
        _("The server's owner needs a new one. Newer versions of Python are stricter about it."),
    ),
    "tls12": Words(
        _("The server offers only an old TLS version."),
        _OWNER_UPDATES,
        _("If “Lowest TLS version” is 1.3, allow 1.2."),
    ),
    "tls13": Words(_("No encryption method in common."), _OWNER_UPDATES),
    "tls14": Words(
        _("The server wants a certificate from us, which mailconf does not offer."),
        _("Ask for a password sign-in."),
    ),
    "tls15": Words(
        _("Something wrote into the connection before encryption. It was closed."),
        _("Suspect the network between this machine and the server."),
    ),
    "tls16": Words(
        _("The connection was cut during encryption."),
        _("A firewall that inspects TLS may do this. Ask its operator."),
        _("Try another port."),
    ),
    "chain1": Words(
        _("The server sends more or larger certificates than any real server."), _("Tell the server's owner.")
    ),
    "ca1": Words(
        _("The own CA certificates cannot be read."),
        _("Paste them in PEM form, each from its BEGIN line to its END line."),
    ),
}
