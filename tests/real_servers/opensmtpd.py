"""An OpenSMTPD of our own, from its unpacked package: Debian lets it be installed only in Postfix's place.

Its paths and user names are compiled in. So it runs in a mount namespace, where folders of ours lie over
/var/spool, /run and /var/lib, and copies of the user and group files with its users over those of the
machine; nothing of that is seen outside. A PID namespace ends with it all that it started.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests.needs import missing
from tests.ports import free_ports, wait_until_deaf, wait_until_listening
from tests.real_servers.mail import arrived, wait_until_empty
from tests.servers import authority, smtp_server

HOST = "127.0.0.1"
USER, PASSWORD = "ann", "correct horse, battery: staple!"

SIZE_LIMIT = 12_000_000
RECIPIENT_LIMIT = 5
#: Messages that it takes in one session.
SESSION_LIMIT = 100

#: Who is refused, by the command it is refused at.
REFUSED = {
    "mail-from": "refused-at-mail@example.org",
    "data": "refused-at-data@example.org",
    "commit": "refused-at-dot@example.org",
}
DISCONNECTED = "leave@example.org"
UNKNOWN, LATER = "unknown@example.com", "later@example.com"

#: What each port differs in.
SERVICES = {
    "submission": "tls-require pki server auth <users>",
    "submissions": "smtps pki server auth <users>",
    "elsewhere": "tls pki elsewhere",
    "relay": "",
}

CONFIGURATION = """
pki server cert "{folder}/server.pem"
pki server key "{folder}/server.key"
pki elsewhere cert "{folder}/elsewhere.pem"
pki elsewhere key "{folder}/elsewhere.key"
table users file:{folder}/users
smtp max-message-size {size}
smtp limit max-mails {session}
smtp limit max-rcpt {recipients}

filter "at_mail" phase mail-from match mail-from {{ "{mail}" }} reject "550 5.7.1 Not from here"
filter "at_data" phase data match mail-from {{ "{data}" }} reject "451 4.7.1 Not now"
filter "at_dot" phase commit match mail-from {{ "{commit}" }} reject "554 5.7.1 Not at the end of data"
filter "unknown" phase rcpt-to match rcpt-to {{ "{unknown}" }} reject "550 5.1.1 No such user"
filter "later" phase rcpt-to match rcpt-to {{ "{later}" }} reject "450 4.2.1 Try again later"
filter "leaving" phase commit match mail-from {{ "{disconnected}" }} disconnect "421 4.3.2 Leaving now"
filter "all" chain {{ "at_mail", "at_data", "at_dot", "unknown", "later", "leaving" }}

{listening}
action "on" relay host smtp+notls://127.0.0.1:{sink}
match from any for any action "on"
"""

#: What the shell of the namespace does before the server takes its place.
MOUNTS = {
    "spool": "/var/spool",
    "run": "/run",
    "lib": "/var/lib",
    "passwd": "/etc/passwd",
    "group": "/etc/group",
}


class OpenSMTPD:
    """One running server in its folder: `ports` by the names in SERVICES, `sink` has what it passed on."""

    host = HOST

    def __init__(self, program, folder, sink) -> None:
        self.program = program
        self.folder = folder
        self.sink = sink
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self.process: subprocess.Popen | None = None

    def configure(self) -> None:
        """Write all it reads."""
        for folder in ("spool", "run", "lib/opensmtpd/empty"):
            (self.folder / folder).mkdir(mode=0o711, parents=True)
        users = "".join(
            f"{name}:x:{number}:{number}::/var/lib/opensmtpd/empty:/usr/sbin/nologin\n"
            for name, number in (("opensmtpd", 64601), ("opensmtpq", 64602))
        )
        (self.folder / "passwd").write_text(others_in("/etc/passwd") + users)
        groups = "opensmtpd:x:64601:\nopensmtpq:x:64602:\n"
        (self.folder / "group").write_text(others_in("/etc/group") + groups)
        for file, names in {"server": (HOST, "localhost"), "elsewhere": ("elsewhere.example.org",)}.items():
            certificate = authority().issue_cert(*names)
            certificate.cert_chain_pems[0].write_to_path(str(self.folder / f"{file}.pem"))
            key = self.folder / f"{file}.key"
            key.touch(mode=0o600)
            certificate.private_key_pem.write_to_path(str(key))
        encrypt = self.program.parents[1] / "libexec" / "opensmtpd" / "encrypt"
        encrypted = subprocess.run(
            [encrypt, PASSWORD], capture_output=True, text=True, timeout=20, check=True
        )
        (self.folder / "users").write_text(f"{USER} {encrypted.stdout}")
        self.configuration.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                size=SIZE_LIMIT,
                session=SESSION_LIMIT,
                recipients=RECIPIENT_LIMIT,
                listening="\n".join(self.services()),
                sink=self.sink.port,
                mail=REFUSED["mail-from"],
                data=REFUSED["data"],
                commit=REFUSED["commit"],
                disconnected=DISCONNECTED,
                unknown=UNKNOWN,
                later=LATER,
            )
        )

    @property
    def configuration(self):
        return self.folder / "smtpd.conf"

    def services(self):
        """The lines of the configuration for the ports."""
        for service, options in SERVICES.items():
            yield f'listen on {HOST} port {self.ports[service]} {options} hostname {HOST} filter "all"'

    def start(self) -> None:
        """Start it; it listens when this returns."""
        mounts = [f"mount --bind {self.folder}/{ours} {theirs}" for ours, theirs in MOUNTS.items()]
        script = " && ".join([*mounts, f"exec {self.program} -d -f {self.configuration}"])
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until_listening(self.process, self.ports["relay"])
        except AssertionError as error:
            self.stop()
            raise AssertionError(self.log()) from error

    def stop(self) -> None:
        """End it and all its processes at once, whatever they are doing."""
        if self.process is not None:
            self.process.kill()  # unshare hears nothing else, and --kill-child passes it on
            self.process.wait(20)
            wait_until_deaf(self.ports["relay"])  # the kernel ends a namespace in its own time
            self.process = None

    def passed_on(self):
        """What it took and gave to the sink, once nothing is left in its queue (see `mail.arrived`)."""
        spool = self.folder / "spool" / "smtpd"
        wait_until_empty(spool / "queue", spool / "incoming", log=self.log)
        return arrived(self.sink)

    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "log").read_text(errors="replace")


def others_in(file) -> str:
    """The users or groups of the machine, but for those of an OpenSMTPD."""
    lines = Path(file).read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("opensmtp"))


def _program() -> Path:
    """Where its daemon is: what OPENSMTPD names, else an installed one."""
    found = os.environ.get("OPENSMTPD") or shutil.which("smtpd", path="/usr/sbin")
    if found is None:
        missing("OPENSMTPD does not name an smtpd (tests/real_servers/unpack-opensmtpd gets one)")
    return Path(found)


@contextmanager
def an_opensmtpd():
    """Run an OpenSMTPD until the block ends, and leave nothing of it."""
    if os.geteuid():
        missing("an OpenSMTPD of our own needs root")
    program = _program()
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False).returncode:
        missing("an OpenSMTPD of our own needs namespaces (CAP_SYS_ADMIN)")
    folder = Path(tempfile.mkdtemp(prefix="mailconf-opensmtpd-"))
    folder.chmod(0o755)
    try:
        with smtp_server() as sink:
            server = OpenSMTPD(program, folder, sink)
            server.configure()
            try:
                server.start()
                yield server
            finally:
                server.stop()
    finally:
        shutil.rmtree(folder)
