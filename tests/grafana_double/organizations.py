"""Organisations, and what the caller may do in his."""

from aiohttp import web

from tests.grafana_double.answers import ApiError, answer, bad_request_data
from tests.grafana_double.auth import demand
from tests.grafana_double.bodies import BodyError, read
from tests.grafana_double.calls import Call, Route
from tests.grafana_double.versions import Version

_ADDRESS_PARTS = ("address1", "address2", "city", "zipCode", "state", "country")


async def _get_own(call: Call) -> web.Response:
    if not call.identity.permissions and not call.version.checks_org_membership:
        raise ApiError(404, "Organization not found", has_cause=True)
    demand(call.identity, "orgs:read", call.version)
    address = dict.fromkeys(_ADDRESS_PARTS, "")
    return answer({"id": call.org.id, "name": call.org.name, "address": address})


async def _create(call: Call) -> web.Response:
    try:
        name = (await read(call.request)).text("name")
    except BodyError as error:
        raise bad_request_data() from error
    if not name:
        raise bad_request_data()
    if any(org.name == name for org in call.grafana.organizations.values()):
        raise ApiError(409, "Organization name taken", has_cause=True)
    organization = call.grafana.add_organization(name)
    call.credentials.join(organization.id)
    return answer({"message": "Organization created", "orgId": organization.id})


async def _get_permissions(call: Call) -> web.Response:
    return answer(call.identity.permissions)


def _have_permission_list(version: Version) -> bool:
    return version.has_permission_list


ROUTES = [
    Route("GET", "/api/org", None, _get_own),
    Route("POST", "/api/orgs", "orgs:create", _create),
    Route(
        "GET",
        "/api/access-control/user/permissions",
        None,
        _get_permissions,
        _have_permission_list,
    ),
]
