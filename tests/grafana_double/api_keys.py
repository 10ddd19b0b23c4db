"""API keys: what tokens were before service accounts."""

from aiohttp import web

from tests.grafana_double.accounts import Role
from tests.grafana_double.answers import ApiError, answer, bad_request_data
from tests.grafana_double.bodies import BodyError, read
from tests.grafana_double.calls import Call, Route
from tests.grafana_double.versions import Version

_NO_ACCOUNT = 0


async def _create(call: Call) -> web.Response:
    fields = await read(call.request)
    try:
        name, role_name = fields.text("name"), fields.text("role")
        seconds_to_live = fields.integer("secondsToLive")
    except BodyError as error:
        raise bad_request_data() from error
    if not name or role_name not in {Role.VIEWER.value, Role.EDITOR.value, Role.ADMIN.value}:
        raise bad_request_data()
    if any(key.name == name for key in call.credentials.tokens_of(_NO_ACCOUNT)):
        raise ApiError(409, "API key, organization ID and name must be unique")
    key = call.credentials.add_token(
        _NO_ACCOUNT, call.org.id, Role(role_name), name, seconds_to_live
    )
    return answer({"id": key.id, "name": key.name, "key": key.key})


def _exist(version: Version) -> bool:
    return version.account_errors is None


ROUTES = [Route("POST", "/api/auth/keys", "serviceaccounts:create", _create, _exist)]
