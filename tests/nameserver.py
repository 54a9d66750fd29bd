"""A DNS server on loopback that answers from a table: the edge of the internet in tests.

    with name_server({("example.com", "MX"): ["10 mx.example.com."]}) as server:
        ...                       # ask server.address, a pair of host and port

A value is a list of records in presentation form, or "NXDOMAIN", "SERVFAIL", "silence", "garbage". A name
with no entry of any kind does not exist. UDP answers that are too long are cut and come again by TCP.
"""

import asyncio
import errno
import struct
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.servers import loop_in_a_thread

TTL = 60


@dataclass
class NameServer:
    """What a running server answers, and what it was asked: (name, kind) in the order of arrival."""

    table: dict
    port: int = 0
    asked: list = field(default_factory=list)

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def answer(self, wire, *, is_tcp):
        """The bytes to send back; None for silence."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        what = self.table.get((name, kind))
        if what == "silence":
            return None
        if what == "garbage":
            return wire[:2] + b"\xff" * 40
        if what == "SERVFAIL":
            response.set_rcode(dns.rcode.SERVFAIL)
        elif what == "NXDOMAIN" or (what is None and not self.knows(name)):
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            self.fill(response, question, name, what)
        limit = 65535 if is_tcp else max(512, query.payload if query.edns >= 0 else 512)
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.TC | dns.flags.RA
            return cut.to_wire()

    def knows(self, name):
        return any(name == known or known.endswith("." + name) for known, _ in self.table)

    def fill(self, response, question, name, what):
        """Put the records in; a CNAME is followed through the table as a resolver does, at most 20 steps."""
        kind = dns.rdatatype.to_text(question.rdtype)
        for _ in range(20):
            target = self.table.get((name, "CNAME"))
            if kind == "CNAME" or not target:
                break
            response.answer.append(dns.rrset.from_text(name + ".", TTL, "IN", "CNAME", target[0]))
            name = target[0].rstrip(".").lower()
            what = self.table.get((name, kind))
        if what:
            response.answer.append(dns.rrset.from_text_list(name + ".", TTL, "IN", kind, what))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server):
        self.server = server

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        answer = self.server.answer(data, is_tcp=False)
        if answer is not None:
            self.transport.sendto(answer, peer)


async def _stream(server, reader, writer):
    try:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        answer = server.answer(await reader.readexactly(size), is_tcp=True)
        if answer is not None:
            writer.write(struct.pack("!H", len(answer)) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass  # the client went away
    finally:
        writer.close()


@contextmanager
def name_server(table):
    """Run a server until the block ends; the table may change meanwhile."""
    server = NameServer({(name.lower(), kind): what for (name, kind), what in table.items()})
    with loop_in_a_thread() as loop:

        async def start():
            while True:
                stream = await asyncio.start_server(lambda r, w: _stream(server, r, w), "127.0.0.1", 0)
                server.port = stream.sockets[0].getsockname()[1]
                try:
                    datagrams, _ = await loop.create_datagram_endpoint(
                        lambda: _Datagrams(server), local_addr=server.address
                    )
                except OSError as error:  # free for TCP, and for UDP another test asks or answers there
                    stream.close()
                    if error.errno != errno.EADDRINUSE:
                        raise
                else:
                    return stream, datagrams

        async def stop():
            datagrams.close()
            stream.close()

        stream, datagrams = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result(10)


def txt(*strings):
    """A TXT record in presentation form, in strings of at most 255 characters."""
    pieces = [one[i : i + 255] for one in strings for i in range(0, len(one), 255)]
    return " ".join('"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces)
