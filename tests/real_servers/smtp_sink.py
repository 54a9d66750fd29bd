"""Postfix's smtp-sink: a real server that refuses, hangs up or dawdles at the command it is told."""

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tests.needs import missing
from tests.ports import free_port, wait_until_listening


class SMTPSink:
    """A running smtp-sink on a port of loopback."""

    host = "127.0.0.1"

    def __init__(self, port, folder) -> None:
        self.port = port
        self.folder = folder

    def wait_for(self, count, *, timeout=60.0):
        """Return as soon as there are so many messages that it answered with 250 after their dot.

        Only those stay in its folder; what a session left half there is removed when the sink notices.
        """
        give_up_at = time.monotonic() + timeout
        while (taken := len(list(self.folder.iterdir()))) != count:
            assert time.monotonic() < give_up_at, f"it took {taken} messages instead of {count}"
            time.sleep(0.01)


@contextmanager
def smtp_sink(*options):
    """Run an smtp-sink with these options until the block ends."""
    program = shutil.which("smtp-sink", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing("smtp-sink is not installed (Debian package postfix)")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="mailconf-smtp-sink-") as folder:
        if not os.geteuid():
            Path(folder).chmod(0o777)  # it wants to be somebody without rights then
            options = ("-u", "nobody", *options)
        command = [program, *options, "-d", f"{folder}/", f"127.0.0.1:{port}", "100"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                wait_until_listening(process, port)
                yield SMTPSink(port, Path(folder))
            finally:
                process.terminate()
