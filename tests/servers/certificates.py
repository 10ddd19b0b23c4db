"""Keys and certificates for test servers: one throw-away CA each."""

import datetime
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALIDITY = datetime.timedelta(days=365)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """`name.crt` and `name.key`; answers the two paths."""
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_bytes(self.certificate)
        write_private(key, self.key)
        return certificate, key

    def load_into(self, context: ssl.SSLContext) -> None:
        with tempfile.TemporaryDirectory() as scratch:  # the library reads files only
            context.load_cert_chain(*self.write(Path(scratch), "own"))

    def server_context(self, client_ca: bytes | None = None) -> ssl.SSLContext:
        """To serve TLS with; with `client_ca` only to clients that it signed."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.load_into(context)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client_ca.decode())
        return context


class CertificateAuthority:
    """Signs certificates for servers and clients on loopback."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = _builder(self._name, self._name, self._key)
        self._certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_ca_usage(), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue_server(self, *host_names: str, on_loopback: bool = True) -> Issued:
        """For 127.0.0.1, localhost and `host_names`; else for `host_names` alone."""
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in host_names]
        if on_loopback:
            names += [
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                x509.DNSName("localhost"),
            ]
        return self._issue(
            "server", (), ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(names)
        )

    def issue_client(self, user: str, groups: tuple[str, ...] = ()) -> Issued:
        """Kubernetes reads the user from the common name, its groups from the organizations."""
        return self._issue(user, groups, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _issue(
        self,
        common_name: str,
        organizations: tuple[str, ...],
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(common_name, organizations), self._name, key)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key))


class MutualTls:
    """A server that knows its clients: a CA of its own, and a certificate for either side."""

    def __init__(self) -> None:
        authority = CertificateAuthority("gdso test TLS")
        self.ca = authority.pem
        self.server = authority.issue_server()
        self.server_elsewhere = authority.issue_server("elsewhere.example", on_loopback=False)
        """Of the same CA, for another host name."""
        self.client = authority.issue_client("operator")
        self.stranger = CertificateAuthority("strangers").issue_client("operator")
        """A client that another CA signed."""

    def server_context(self, *, demands_client: bool = True) -> ssl.SSLContext:
        """For a FaultProxy."""
        return self.server.server_context(self.ca if demands_client else None)

    def client_context(self, client: Issued | None = None) -> ssl.SSLContext:
        """To ask the server with, by default without a certificate."""
        context = ssl.create_default_context(cadata=self.ca.decode())
        if client is not None:
            client.load_into(context)
        return context

    def ca_values(self) -> dict[str, str | bytes]:
        """For a Secret or ConfigMap; bytes, because it is no secret."""
        return {"ca.crt": self.ca}


def tls_values(issued: Issued) -> dict[str, str | bytes]:
    """For a Secret of type kubernetes.io/tls; bytes where it is no secret."""
    return {"tls.crt": issued.certificate, "tls.key": issued.key.decode()}


def service_account_key() -> tuple[bytes, bytes]:
    """Private and public PEM of the key that signs service account tokens."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return _private_pem(key), public


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def write_private(path: Path, content: bytes) -> None:
    """A file that only its owner reads."""
    path.touch(mode=0o600)
    path.write_bytes(content)


def _name(common_name: str, organizations: tuple[str, ...] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _VALIDITY)
    )


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
