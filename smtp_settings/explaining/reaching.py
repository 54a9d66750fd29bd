"""Words from the name to EHLO."""

from django.utils.translation import gettext_lazy as _

from smtp_settings.explaining.words import Words

_ALLOW_US = _("Ask the server's owner to allow %(our_address)s.")

WORDS = {
    # The name
    "name1": Words(_("Only the host name goes here: %(clean)s."), _("The port has a field of its own.")),
    "name2": Words(
        _("“%(server)s” cannot be a host name."),
        _("Look for two dots in a row, for spaces and for a part with more than 63 letters."),
    ),
    "name3": Words(_("The name “%(server)s” does not exist."), _("Did you mean %(near)s?")),
    "name4": Words(
        _("The name “%(server)s” does not exist."),
        _("Check the spelling."),
        _("Names used only inside a house exist only in that house's DNS."),
        _("Between containers, the name is that of the service."),
    ),
    "name5": Words(
        _("The name server did not answer."),
        _("Try again."),
        _("Check DNS on the machine that ran the test."),
    ),
    "name6": Words(_("The server has no IPv%(ip_version)s address."), _("Let both IPv4 and IPv6 be used.")),
    "name7": Words(
        _("This address is not allowed as a mail server (private, loopback or link-local)."),
        _("The operator of mailconf can allow it with MAILCONF_ALLOWED_NETWORKS."),
    ),
    "port1": Words(
        _("Port %(port)s is not one that may be used."),
        _("Mail servers use 587, 465, 2525 or 25."),
        _("The operator of mailconf can allow others with MAILCONF_ALLOWED_PORTS."),
    ),
    # Connect
    "connect1": Words(
        _("Nothing listens on port %(port)s of this machine."),
        _("Check the port."),
        _("Start the mail service, or enter the name of the machine it runs on."),
        _("In a container, “localhost” is the container itself."),
    ),
    "connect2": Words(
        _("The machine answers, but nothing listens on port %(port)s."),
        _("STARTTLS usually is on 587, TLS from the first byte on 465."),
        _("Ask the server's owner whether the mail service is running."),
    ),
    "connect3": Words(
        _("The server did not answer on port 25 within %(connect_timeout)s s."),
        _("Most clouds and many providers block port 25. Use 587 with STARTTLS."),
        bare=_("The server did not answer on port 25 in time."),
    ),
    "connect4": Words(
        _("The server did not answer on port %(port)s within %(connect_timeout)s s."),
        _("A firewall has to let this machine out to that port."),
        _("Try port 587, 465 or 2525."),
        _("Check that this is the right server."),
        bare=_("The server did not answer on port %(port)s in time."),
    ),
    "connect5": Words(
        _("There is no network route to %(address)s."),
        _("Often this is IPv6 that does not work on this machine: use IPv4 only."),
        bare=_("There is no network route to the server."),
    ),
    "connect6": Words(
        _("A firewall on this machine or near it stopped the connection."),
        _("Ask the operator of this machine or of its network."),
    ),
    "connect7": Words(
        _("This machine has no connection left to open."),
        _("Ask its operator: the limit of open files or of ports is reached."),
        _("Use fewer connections at once."),
    ),
    "connect8": Words(
        _("IPv%(failed_version)s did not work, the other IP version did."),
        _("Each connection loses time with it. Leave it out until the network has it."),
    ),
    "source1": Words(
        _("The source address is not one of the machine that ran the test."),
        _("Leave it empty, or enter an address of that machine."),
    ),
    # The greeting
    "banner1": Words(
        _("The port expects TLS from the first byte."),
        _("The server waits for encryption to begin, and we wait for its greeting."),
    ),
    "banner2": Words(_("The server hung up. It may expect TLS from the first byte.")),
    "banner3": Words(
        _("Connected, but the server said nothing within %(command_timeout)s s."),
        _("A slow server, a filtering firewall or a proxy can be the reason."),
        _("Try another port."),
        bare=_("Connected, but the server said nothing."),
    ),
    "banner4": Words(_("The server hung up at once."), _ALLOW_US),
    "banner5": Words(
        _("This is a web server, not a mail sending server."),
        _("Check the server's name and the port: 587 or 465."),
    ),
    "banner6": Words(
        _("This is not a mail sending server: it speaks %(protocol)s."),
        _("Ports 143, 993, 110 and 995 fetch mail, 22 is for terminals. Sending is on 587 or 465."),
    ),
    "banner7": Words(
        _("This is not a mail sending server."), _("Check the server's name and the port: 587 or 465.")
    ),
    "banner8": Words(
        _("Too many connections from us."),
        _("Use fewer connections at once."),
        _("Another program may send from here, too."),
    ),
    "banner9": Words(
        _("The server refuses this machine: %(our_address)s is on a block list."),
        _("Look the address up at the block list that the server names; there it can be taken off."),
        _("Send through a sending service."),
        bare=_("The server refuses this machine: its address is on a block list."),
    ),
    "banner10": Words(
        _("The server refuses this machine."),
        _ALLOW_US,
        _("After a code that begins with 4: try again later."),
    ),
    "banner11": Words(
        _("The greeting comes from %(greeting)s."),
        _("Some hosts redirect mail ports to a server of theirs. Try another port, or ask the hosting."),
    ),
    # EHLO
    "ehlo1": Words(
        _("Google's relay refuses the name we give, or has no rule for this machine."),
        _("Enter a real host name as EHLO name."),
        _("Let the administrator of Google Workspace add this machine to the relay rule."),
    ),
    "ehlo2": Words(
        _("The server does not accept our name “%(ehlo_name)s”."),
        _("Enter a full name that is in DNS."),
        bare=_("The server does not accept our name."),
    ),
    "ehlo3": Words(
        _("The server ended the conversation after our name."),
        _ALLOW_US,
        _("Enter a full name that is in DNS."),
    ),
}
