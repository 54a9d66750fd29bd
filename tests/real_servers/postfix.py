"""A Postfix of our own: configuration, queue and data in a folder, ports on loopback, none of the machine's.

It serves one port for each thing to be tested and relays what it takes to a sink of the tests, so that what
it accepted can be compared with what was sent. Needs root: its daemons change their user.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme

from tests.acceptance.processes import until
from tests.needs import missing
from tests.ports import free_ports
from tests.real_servers.mail import arrived, wait_until_empty
from tests.servers import authority, smtp_server

HOST = "127.0.0.1"
NAME = "postfix.example.org"
USER, PASSWORD = "ann", "correct horse, battery: staple!"

#: The most that a message may have, and on the port "small".
SIZE_LIMIT, SMALL_LIMIT = 20_000_000, 20_000
#: The most recipients of a transaction, and connections of one client on the port "crowded".
RECIPIENT_LIMIT = 5
CONNECTION_LIMIT = 2

#: Who is refused, where and with what. At the dot Postfix leaves the transaction open when its end-of-data
#: restriction refused it, and not when a header check did.
SENDERS = {"refused-at-mail@example.org": "550 5.7.1 Not from here"}
AT_THE_END = {"refused-at-dot@example.org": "554 5.7.1 Not at the end of data"}
RECIPIENTS = {
    "unknown@example.com": "550 5.1.1 No such user",
    "later@example.com": "450 4.2.1 Try again later",
    "full@example.com": "552 5.2.2 Mailbox full",
    "left@example.com": "421 4.3.2 Leaving now",
}
REFUSED_HEADER = b"X-Refuse: yes"

_SIGNED_IN = {
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_tls_auth_only": "yes",
    "smtpd_relay_restrictions": "permit_sasl_authenticated,reject",
}
_STARTTLS = {"smtpd_tls_security_level": "encrypt"}
_TLS = {"smtpd_tls_wrappermode": "yes"}

#: What each port differs in from main.cf.
SERVICES = {
    "submission": _SIGNED_IN | _STARTTLS,
    "submissions": _SIGNED_IN | _TLS,
    "elsewhere": _STARTTLS | {"smtpd_tls_chain_files": "{folder}/elsewhere.pem"},
    "relay": {},
    "strict": {"smtpd_delay_reject": "no"},
    "unpipelined": {"smtpd_discard_ehlo_keywords": "pipelining"},
    "small": {"message_size_limit": f"{SMALL_LIMIT}"},
    "small, unsaid": {"message_size_limit": f"{SMALL_LIMIT}", "smtpd_discard_ehlo_keywords": "size"},
    "ascii": {"smtpd_discard_ehlo_keywords": "smtputf8"},
    # 127.0.0.1 is one of mynetworks, which the limits leave out by default.
    "crowded": {
        "smtpd_client_connection_count_limit": f"{CONNECTION_LIMIT}",
        "smtpd_client_event_limit_exceptions": "",
    },
}

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
syslog_name = postfix-of-the-tests
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = {name}
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
relayhost = [127.0.0.1]:{sink}

# Bytes in, the same bytes out.
local_header_rewrite_clients =
message_size_limit = {size}
enable_long_queue_ids = yes
mailbox_size_limit = 0
smtputf8_enable = yes

smtpd_tls_chain_files = {folder}/server.pem
cyrus_sasl_config_path = {folder}/config/sasl
smtpd_sasl_local_domain = {name}
smtpd_sasl_security_options = noanonymous

smtpd_sender_restrictions = check_sender_access texthash:{folder}/config/senders
smtpd_recipient_restrictions = check_recipient_access texthash:{folder}/config/recipients
smtpd_end_of_data_restrictions = check_sender_access texthash:{folder}/config/at_the_end
smtpd_recipient_limit = {recipients}
header_checks = regexp:{folder}/config/header_checks
"""

#: The daemons, none of them in a chroot.
MASTER = """
postlog   unix-dgram n - n -    1 postlogd
pickup    unix n - n 60   1 pickup
cleanup   unix n - n -    0 cleanup
qmgr      unix n - n 300  1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n -    - trivial-rewrite
bounce    unix - - n -    0 bounce
defer     unix - - n -    0 bounce
trace     unix - - n -    0 bounce
verify    unix - - n -    1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -    - proxymap
smtp      unix - - n -    - smtp
showq     unix n - n -    - showq
error     unix - - n -    - error
retry     unix - - n -    - error
discard   unix - - n -    - discard
anvil     unix - - n -    1 anvil
scache    unix - - n -    1 scache
"""


class Postfix:
    """One instance in its folder: `ports` by the names in SERVICES, `sink` has what it passed on."""

    host = HOST

    def __init__(self, folder, sink) -> None:
        self.folder = Path(folder)
        self.sink = sink
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))

    def configure(self) -> None:
        """Write all it reads."""
        config, sasl = self.folder / "config", self.folder / "config" / "sasl"
        for folder in (config, sasl, self.folder / "queue", self.folder / "data"):
            folder.mkdir(mode=0o755)
        shutil.chown(self.folder / "data", "postfix")
        certificates = {"server": (HOST, "localhost"), "elsewhere": ("elsewhere.example.org",)}
        for file, names in certificates.items():
            certificate: trustme.LeafCert = authority().issue_cert(*names)
            certificate.private_key_and_cert_chain_pem.write_to_path(str(self.folder / f"{file}.pem"))
        for name, table in (("senders", SENDERS), ("recipients", RECIPIENTS), ("at_the_end", AT_THE_END)):
            (config / name).write_text("".join(f"{address} {answer}\n" for address, answer in table.items()))
        (config / "header_checks").write_text(f"/^{REFUSED_HEADER.decode()}/ REJECT Not with this header\n")
        (sasl / "smtpd.conf").write_text(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN CRAM-MD5\n"
            f"sasldb_path: {self.folder}/sasldb2\n"
        )
        self.run(
            ["saslpasswd2", "-p", "-c", "-f", self.folder / "sasldb2", "-u", NAME, USER], PASSWORD.encode()
        )
        shutil.chown(self.folder / "sasldb2", "postfix")
        # Its check of the queue, as its user, writes of a half-written file there while no logger runs yet.
        (self.folder / "log").touch()
        shutil.chown(self.folder / "log", "postfix")
        facts = {"folder": self.folder, "name": NAME, "sink": self.sink.port, "size": SIZE_LIMIT}
        (config / "main.cf").write_text(MAIN.format(recipients=RECIPIENT_LIMIT, **facts))
        (config / "master.cf").write_text("\n".join(self.services()) + MASTER)

    def services(self):
        """The lines of master.cf for the ports."""
        for service, options in SERVICES.items():
            yield f"{HOST}:{self.ports[service]} inet n - n - - smtpd"
            for name, value in options.items():
                yield f"  -o {name}={value.format(folder=self.folder)}"

    def start(self) -> None:
        """Start it; it listens when this returns."""
        self.run(["postfix", "-c", self.folder / "config", "start"])

    def stop(self) -> None:
        """End it, whatever it is doing, and wait for its daemons. A stopped one is left as it is.

        They end a moment after their master: until then one may answer a connection, or move a file of the
        queue while the next start looks at it.
        """
        if self.is_running():
            self.run(["postfix", "-c", self.folder / "config", "stop"])
            until(lambda: not self.daemons(), why=self.daemons)

    def daemons(self):
        """The processes that work in its queue."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile
                if (process / "cwd").readlink() == self.folder / "queue":
                    found.append((process / "cmdline").read_text())
        return found

    def is_running(self) -> bool:
        """Whether its master lives."""
        status = ["postfix", "-c", self.folder / "config", "status"]
        return subprocess.run(status, capture_output=True, timeout=30, check=False).returncode == 0

    def passed_on(self, *, timeout=120.0):
        """What it took and gave to the sink, once nothing is left in its queue (see `mail.arrived`)."""
        queue = self.folder / "queue"
        wait_until_empty(
            *(queue / name for name in ("maildrop", "incoming", "active", "deferred")),
            log=self.log,
            # One with a dot was begun by a daemon that was ended; it has no number yet, and lies there a day.
            is_mail=lambda name: "." not in name,
            timeout=timeout,
        )
        return arrived(self.sink)

    def run(self, command, given=None) -> None:
        """Run a command to its end, which must be a good one."""
        done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr, self.log())

    def log(self) -> str:
        """What its daemons said so far."""
        log = self.folder / "log"
        return log.read_text(errors="replace") if log.exists() else ""


@contextmanager
def a_postfix():
    """Run a Postfix until the block ends, and leave nothing of it."""
    if os.geteuid():
        missing("a Postfix of our own needs root")
    for program, package in (("postfix", "postfix"), ("saslpasswd2", "sasl2-bin")):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            missing(f"{program} is not installed (Debian package {package})")
    # Not pytest's folder, which only root may enter.
    folder = Path(tempfile.mkdtemp(prefix="mailconf-postfix-"))
    folder.chmod(0o755)
    try:
        with smtp_server() as sink:
            postfix = Postfix(folder, sink)
            postfix.configure()
            try:
                postfix.start()
                yield postfix
            finally:
                postfix.stop()
    finally:
        shutil.rmtree(folder)
