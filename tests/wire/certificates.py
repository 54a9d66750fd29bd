"""Servers with certificates nobody should accept: each returns a TLS context and the authority to trust."""

import hashlib
import ipaddress
import ssl
import tempfile
from datetime import timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.utils import timezone

from tests.servers import server_context

ADDRESS = "127.0.0.1"


def expired():
    return issued(not_before=timezone.now() - timedelta(days=2), not_after=timezone.now() - timedelta(days=1))


def early():
    return issued(not_before=timezone.now() + timedelta(days=1), not_after=timezone.now() + timedelta(days=2))


def issued(**dates):
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(ADDRESS, **dates).configure_cert(context)
    return context, ca.cert_pem.bytes().decode()


def wrong_name():
    ca = trustme.CA()
    return server_context("other.example.org", ca=ca), ca.cert_pem.bytes().decode()


def wrong_address():
    ca = trustme.CA()
    return server_context("192.0.2.1", ca=ca), ca.cert_pem.bytes().decode()


def unknown():
    return server_context(ca=trustme.CA()), ""


def self_signed():
    key = an_ec_key()
    return context_of([certificate("leaf", key, "leaf", key)], key), ""


def sha1():
    key, ca_key = an_rsa_key(), an_rsa_key()
    leaf = signed_by_sha1(certificate("leaf", key, "ca", ca_key), ca_key)
    return context_of([leaf], key), pem(certificate("ca", ca_key, "ca", ca_key, is_ca=True))


def short_key():
    key, ca_key = an_rsa_key(bits=1024), an_ec_key()
    leaf = certificate("leaf", key, "ca", ca_key)
    return context_of([leaf], key), pem(certificate("ca", ca_key, "ca", ca_key, is_ca=True))


def ten_deep():
    ca_key = issuer_key = an_ec_key()
    issuer, chain = "ca", []
    for number in range(10):
        key = an_ec_key()
        chain.insert(0, certificate(f"step {number}", key, issuer, issuer_key, is_ca=True))
        issuer, issuer_key = f"step {number}", key
    key = an_ec_key()
    chain.insert(0, certificate("leaf", key, issuer, issuer_key))
    return context_of(chain, key), pem(certificate("ca", ca_key, "ca", ca_key, is_ca=True))


def a_megabyte():
    key, ca_key = an_ec_key(), an_ec_key()
    oid = x509.ObjectIdentifier("1.2.3.4.5")
    leaf = certificate("leaf", key, "ca", ca_key, more=x509.UnrecognizedExtension(oid, bytes(1_000_000)))
    return context_of([leaf], key), pem(certificate("ca", ca_key, "ca", ca_key, is_ca=True))


def an_ec_key():
    return ec.generate_private_key(ec.SECP256R1())


def an_rsa_key(bits=2048):
    return rsa.generate_private_key(65537, bits)


def pem(one):
    return one.public_bytes(Encoding.PEM).decode()


def certificate(subject, key, issuer, issuer_key, *, is_ca=False, more=None):
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))])
    builder = (
        x509.CertificateBuilder(named(issuer), named(subject), key.public_key(), x509.random_serial_number())
        .not_valid_before(timezone.now() - timedelta(days=1))
        .not_valid_after(timezone.now() + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(names, critical=False)
        # From 3.13 on Python asks for these (VERIFY_X509_STRICT); they must not be what is refused.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .add_extension(usage(may_sign=is_ca), critical=True)
    )
    if more is not None:
        builder = builder.add_extension(more, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def usage(*, may_sign):
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    flags = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=may_sign, **flags)


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def signed_by_sha1(one, issuer_key):
    """Sign anew as `cryptography` refuses to: RSASSA-PKCS1-v1_5 by hand (RFC 8017 section 8.2.1)."""
    sha256, sha1 = (bytes.fromhex("2a864886f70d0101" + last) for last in ("0b", "05"))
    tbs = one.tbs_certificate_bytes.replace(sha256, sha1)
    numbers, size = issuer_key.private_numbers(), len(one.signature)
    info = bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(tbs).digest()
    padded = b"\0\1" + b"\xff" * (size - 3 - len(info)) + b"\0" + info
    signature = pow(int.from_bytes(padded, "big"), numbers.d, numbers.public_numbers.n)
    der = one.public_bytes(Encoding.DER).replace(sha256, sha1)[:-size] + signature.to_bytes(size, "big")
    return x509.load_der_x509_certificate(der)


def context_of(chain, key):
    """Return a context that serves this chain; OpenSSL's own scruples are off on the server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.pem"
        own = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        path.write_bytes("".join(map(pem, chain)).encode() + own)
        context.load_cert_chain(path)
    return context
