"""What a GrafanaInstance refers to, read once: credentials, certificates, headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import SecretStr

from ..api.config_map import ConfigMapContent
from ..api.durations import parse_duration
from ..api.instance import Auth, HeaderValue, Instance, InstanceSpec
from ..api.instance import Tls as TlsSpec
from ..api.reasons import Reason
from ..api.references import SecretKeyRef
from ..api.secret import SecretContent
from ..errors import Retrying, invalid_spec
from ..grafana.connection import ConnectionSettings, Tls
from ..grafana.credentials import Credentials, Token, UserPassword
from ..kube.contents import ContentReader
from ..payload.secrets import read_key

DEFAULT_TIMEOUT_SECONDS = 10.0
DEFAULT_REQUESTS = 4
_CERTIFICATE = "tls.crt"
_PRIVATE_KEY = "tls.key"


def secrets_of(spec: InstanceSpec) -> frozenset[str]:
    """Names of the Secrets that an instance refers to, in its own namespace."""
    tls = spec.tls or TlsSpec()
    references = [
        spec.auth.token_secret_ref,
        spec.auth.basic_auth_secret_ref,
        tls.ca_secret_ref,
        tls.client_cert_secret_ref,
        *(header.secret_key_ref for header in (spec.headers or {}).values()),
    ]
    return frozenset(reference.name for reference in references if reference is not None)


def config_maps_of(spec: InstanceSpec) -> frozenset[str]:
    """Names of the ConfigMaps that an instance refers to, in its own namespace."""
    reference = spec.tls.ca_config_map_ref if spec.tls else None
    return frozenset({reference.name} if reference else ())


@dataclass(frozen=True, slots=True)
class Contents:
    """The Secrets and ConfigMaps of one instance; each error names the field."""

    secrets: Mapping[str, SecretContent | None]
    config_maps: Mapping[str, ConfigMapContent | None]

    @classmethod
    async def read(cls, reader: ContentReader, instance: Instance) -> Self:
        """Read all that an instance refers to, from its own namespace.

        Raises:
            KubeError: the apiserver could not be asked.
        """
        namespace = instance.metadata.namespace
        return cls(
            await reader.read_secrets(namespace, secrets_of(instance.spec)),
            await reader.read_config_maps(namespace, config_maps_of(instance.spec)),
        )

    @property
    def versions(self) -> tuple[tuple[str, str], ...]:
        """Differs once anything that was read has changed; tells nothing of it."""
        found = [*self.secrets.values(), *self.config_maps.values()]
        return tuple((one.uid, one.resource_version) for one in found if one is not None)

    def credentials(self, auth: Auth) -> Credentials:
        """Who the operator is there.

        Raises:
            Retrying: WaitingForSecret.
            Stalled: InvalidSpec, where the schema let none through.
        """
        if (ref := auth.token_secret_ref) is not None:
            token = self._secret("spec.auth.tokenSecretRef", ref.name, ref.key)
            return Token(SecretStr(token.get_secret_value().strip()))
        if (basic := auth.basic_auth_secret_ref) is not None:
            path = "spec.auth.basicAuthSecretRef"
            user = self._secret(path, basic.name, basic.username_key)
            password = self._secret(path, basic.name, basic.password_key)
            return UserPassword(user.get_secret_value(), password)
        raise invalid_spec(
            "spec.auth", "exactly one of tokenSecretRef, basicAuthSecretRef must be set"
        )

    def settings(self, spec: InstanceSpec) -> ConnectionSettings:
        """How to reach it.

        Raises:
            Retrying: WaitingForSecret or WaitingForConfigMap.
        """
        return ConnectionSettings(
            url=spec.url,
            org_id=spec.org_id,
            timeout=parse_duration(spec.timeout) if spec.timeout else DEFAULT_TIMEOUT_SECONDS,
            tls=self._tls(spec.tls or TlsSpec()),
            headers={
                name: self._header(f"spec.headers[{name}]", value)
                for name, value in (spec.headers or {}).items()
            },
            max_concurrent_requests=spec.max_concurrent_requests or DEFAULT_REQUESTS,
        )

    def _tls(self, spec: TlsSpec) -> Tls:
        certificate = key = None
        if (ref := spec.client_cert_secret_ref) is not None:
            path = "spec.tls.clientCertSecretRef"
            certificate = self._secret(path, ref.name, _CERTIFICATE).get_secret_value().encode()
            key = self._secret(path, ref.name, _PRIVATE_KEY)
        return Tls(self._ca(spec), certificate, key, bool(spec.insecure_skip_verify))

    def _ca(self, spec: TlsSpec) -> bytes | None:
        if (ref := spec.ca_secret_ref) is not None:
            found = self._secret("spec.tls.caSecretRef", ref.name, ref.key)
            return found.get_secret_value().encode()
        if (ref := spec.ca_config_map_ref) is not None:
            return self._plain("spec.tls.caConfigMapRef", ref.name, ref.key).encode()
        return None

    def _header(self, path: str, value: HeaderValue) -> SecretStr:
        if (ref := value.secret_key_ref) is not None:
            return self._secret(path, ref.name, ref.key)
        return SecretStr(value.value or "")

    def _secret(self, path: str, name: str, key: str) -> SecretStr:
        value = read_key(self.secrets, SecretKeyRef(name=name, key=key), path)
        if value is None:
            raise ValueError("a required key was taken for an optional one")
        return value

    def _plain(self, path: str, name: str, key: str) -> str:
        content = self.config_maps[name]
        text = content.data.get(key, "") if content else ""
        if not text:
            raise Retrying(
                Reason.WAITING_FOR_CONFIG_MAP,
                f'{path}: ConfigMap "{name}" with the key "{key}" does not exist',
            )
        return text
