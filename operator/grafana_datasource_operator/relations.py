"""Who refers to what, as the engine knows it: keys and references instead of specs."""

from collections.abc import Hashable, Iterable

from .api.datasource import DataSource, DataSourceSpec, parse_data_source
from .api.instance import InstanceSpec
from .api.metadata import ObjectMeta
from .api.model import Json
from .api.names import DATA_SOURCE, FINALIZER, INSTANCE, InstanceKey, ObjectKey
from .api.reasons import Reason
from .engine.view import Reference, View
from .payload.datasource import plain_name
from .payload.identity import derive_uid
from .payload.inputs import needs_of
from .reconcile.instance_contents import config_maps_of, secrets_of

SECRET = "Secret"  # noqa: S105 - a kind
CONFIG_MAP = "ConfigMap"
ANY = "*"
"""Name of a reference to all instances of a namespace, from which a selector chooses."""
_UID = "uid"
_NAME = "name"
_DEFAULT = "default"


class Relations:
    """What the objects of the view refer to, and what several of them contend for."""

    def __init__(self, default: InstanceKey | None) -> None:
        """Prepare.

        Args:
            default: instance of resources that name none.
        """
        self._default = default

    def references_of(self, raw: Json) -> list[Reference]:
        """All that a look at the object depends on; nothing where its spec cannot be read."""
        try:
            if raw["kind"] == INSTANCE.kind:
                return self._of_instance(raw)
            return self._of_data_source(raw)
        except ValueError:
            return []

    def lane_of(self, raw: Json) -> Hashable:
        """What may hold up a look at the object: its instance."""
        if raw["kind"] == INSTANCE.kind:
            return INSTANCE.kind
        spec, home = raw.get("spec", {}), raw["metadata"]["namespace"]
        # Not parsed: it is asked for at every turn, and nothing may go wrong here.
        match spec:
            case {"instanceRef": {"name": str(name), **rest}}:
                return InstanceKey(str(rest.get("namespace") or home), name)
            case {"instanceSelector": {**selector}}:
                return InstanceKey(str(selector.get("namespace") or home), ANY)
        return self._default

    def _of_instance(self, raw: Json) -> list[Reference]:
        spec = InstanceSpec.model_validate(raw.get("spec", {}))
        namespace = raw["metadata"]["namespace"]
        return [
            *(Reference(SECRET, namespace, name) for name in secrets_of(spec)),
            *(Reference(CONFIG_MAP, namespace, name) for name in config_maps_of(spec)),
        ]

    def _of_data_source(self, raw: Json) -> list[Reference]:
        spec = DataSourceSpec.model_validate(raw.get("spec", {}))
        meta = ObjectMeta.model_validate(raw["metadata"])
        needs = needs_of(spec)
        return [
            *(Reference(SECRET, meta.namespace, name) for name in needs.secrets),
            *(Reference(CONFIG_MAP, meta.namespace, name) for name in needs.config_maps),
            *(Reference(DATA_SOURCE.kind, meta.namespace, name) for name in needs.data_sources),
            *(Reference(INSTANCE.kind, *key) for key in self._instances_of(raw, spec)),
            *contested_by(meta, spec, self._instances_of(raw, spec)),
        ]

    def _instances_of(self, raw: Json, spec: DataSourceSpec) -> set[InstanceKey]:
        """Where it is to live, and where status says that it lived."""
        home = raw["metadata"]["namespace"]
        recorded = raw.get("status", {}).get("instances", [])
        keys = {InstanceKey(one["namespace"], one["name"]) for one in recorded}
        if spec.instance_selector is not None:
            keys.add(InstanceKey(spec.instance_selector.namespace or home, ANY))
        elif spec.instance_ref is not None:
            keys.add(InstanceKey(spec.instance_ref.namespace or home, spec.instance_ref.name))
        elif self._default is not None:
            keys.add(self._default)
        return keys


def contested_by(
    meta: ObjectMeta, spec: DataSourceSpec, instances: Iterable[InstanceKey] = ()
) -> list[Reference]:
    """What only one resource can have: anywhere, and once more on each instance that it leaves."""
    wanted = [_uid_reference(spec.uid or derive_uid(meta.namespace, meta.name))]
    if (name := plain_name(meta, spec)) is not None:
        wanted.append(_name_reference(name))
    if spec.is_default:
        wanted.append(_default_reference())
    there = [one._replace(namespace=str(key)) for one in wanted for key in instances]
    return [*wanted, *there]


def _uid_reference(uid: str) -> Reference:
    return Reference(_UID, "", uid, is_contested=True)


def _name_reference(name: str) -> Reference:
    return Reference(_NAME, "", name, is_contested=True)


def _default_reference() -> Reference:
    return Reference(_DEFAULT, "", "", is_contested=True)


class ViewPeers:
    """The other resources, as the view has them (see `reconcile.peers.Peers`)."""

    def __init__(self, view: View, namespaces: tuple[str, ...]) -> None:
        """Prepare.

        Args:
            view: of all kinds.
            namespaces: that are watched; none is all.
        """
        self._view = view
        self._namespaces = namespaces

    def may_exist(self, namespace: str, name: str) -> bool:
        """Whether the resource exists; one out of sight may."""
        if self._namespaces and namespace not in self._namespaces:
            return True
        return self._view.get(ObjectKey(DATA_SOURCE.kind, namespace, name)) is not None

    def find(self, namespace: str, name: str) -> DataSource | None:
        """The resource, if it is there and can be read."""
        return _parse(self._view.get(ObjectKey(DATA_SOURCE.kind, namespace, name)))

    def with_uid(self, uid: str) -> list[DataSource]:
        """Resources that are not being deleted and want this uid."""
        return self._active(_uid_reference(uid))

    def with_name(self, name: str) -> list[DataSource]:
        """Resources that are not being deleted and want this display name."""
        return self._active(_name_reference(name))

    def wanting_default(self) -> list[DataSource]:
        """Resources that are not being deleted and want to be the default of an organization."""
        return self._active(_default_reference())

    def users_of(self, instance: InstanceKey) -> list[ObjectKey]:
        """Resources that Grafana may hold something of on an instance."""
        users = self._view.users_of(Reference(INSTANCE.kind, *instance))
        return sorted(key for key in users if _may_live_on(instance, self._view.get(key)))

    def _active(self, reference: Reference) -> list[DataSource]:
        found = [_parse(self._view.get(key)) for key in self._view.users_of(reference)]
        return [
            one
            for one in found
            if one is not None and not one.metadata.deletion_timestamp and not one.spec.suspend
        ]


def _may_live_on(instance: InstanceKey, raw: Json | None) -> bool:
    """Whether a write to the instance may have happened: who was never admitted wrote nothing."""
    if raw is None or FINALIZER not in raw["metadata"].get("finalizers", []):
        return False
    recorded = raw.get("status", {}).get("instances", [])
    ours = [one for one in recorded if (one["namespace"], one["name"]) == instance]
    return all("id" in one or one.get("reason") != Reason.INSTANCE_NOT_ALLOWED for one in ours)


def _parse(raw: Json | None) -> DataSource | None:
    try:
        return parse_data_source(raw) if raw is not None else None
    except ValueError:
        return None
