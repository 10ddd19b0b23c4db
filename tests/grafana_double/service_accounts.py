"""Service accounts and their tokens."""

from aiohttp import web

from tests.grafana_double.accounts import Account, Role
from tests.grafana_double.answers import ApiError, answer
from tests.grafana_double.bodies import BodyError, Fields, path_integer, read
from tests.grafana_double.calls import Call, Route
from tests.grafana_double.versions import AccountProblem, JsonObject, Version


def _error(version: Version, problem: AccountProblem) -> ApiError:
    return ApiError.worded((version.account_errors or {})[problem])


async def _read(call: Call) -> Fields:
    try:
        return await read(call.request)
    except ApiError as refused:
        raise _bad_request_data() from refused


def _bad_request_data() -> ApiError:
    # With a capital, other than everywhere else.
    return ApiError(400, "Bad request data", has_cause=True)


async def _create(call: Call) -> web.Response:
    fields = await _read(call)
    try:
        name, role_name = fields.text("name"), fields.text("role") or Role.VIEWER.value
    except BodyError as error:
        raise _bad_request_data() from error
    if not name or role_name not in _roles(call.version):
        raise _bad_request_data()
    if call.accounts.has_name(call.org.id, name):
        raise _error(call.version, AccountProblem.NAME_TAKEN)
    uid = call.grafana.new_uid()
    account = call.accounts.add(uid, call.org.id, name, Role(role_name))
    return answer(_shown(account, call.version), 201)


def _roles(version: Version) -> set[str]:
    return {role.value for role in Role if version.has_role_none or role is not Role.NONE}


def _shown(account: Account, version: Version) -> JsonObject:
    slug = account.name.lower().replace(" ", "-")
    shown: JsonObject = {
        "id": account.id,
        "name": account.name,
        "login": f"sa-{account.org_id}-{slug}" if version.shows_plugin_of_one else f"sa-{slug}",
        "orgId": account.org_id,
        "isDisabled": False,
        "role": account.role.value,
        "tokens": 0,
        "avatarUrl": "",
    }
    return shown | ({"uid": account.uid} if version.shows_plugin_of_one else {})


def _account(call: Call) -> Account:
    number = path_integer(call.path_part("account"))
    if number is None:
        if AccountProblem.BAD_ACCOUNT_ID not in (call.version.account_errors or {}):
            raise web.HTTPNotFound
        raise _error(call.version, AccountProblem.BAD_ACCOUNT_ID)
    account = call.accounts.find(call.org.id, number)
    if account is None:
        raise _error(call.version, AccountProblem.NO_ACCOUNT)
    return account


async def _create_token(call: Call) -> web.Response:
    account = _account(call)
    fields = await _read(call)
    try:
        name, seconds_to_live = fields.text("name"), fields.integer("secondsToLive")
    except BodyError as error:
        raise _bad_request_data() from error
    if not name:
        raise _bad_request_data()
    if any(token.name == name for token in call.credentials.tokens_of(account.id)):
        raise _error(call.version, AccountProblem.TOKEN_NAME_TAKEN)
    token = call.credentials.add_token(
        account.id, account.org_id, account.role, name, seconds_to_live
    )
    return answer({"id": token.id, "name": token.name, "key": token.key})


async def _delete_token(call: Call) -> web.Response:
    account = _account(call)
    number = path_integer(call.path_part("token"))
    for token in call.credentials.tokens_of(account.id):
        if token.id == number:
            call.credentials.remove_token(token)
            return answer({"message": "Service account token deleted"})
    raise _error(call.version, AccountProblem.NO_TOKEN)


def _exist(version: Version) -> bool:
    return version.account_errors is not None


_TOKENS = "/api/serviceaccounts/{account}/tokens"
_WRITE = "serviceaccounts:write"
ROUTES = [
    Route("POST", "/api/serviceaccounts", "serviceaccounts:create", _create, _exist),
    Route("POST", _TOKENS, _WRITE, _create_token, _exist),
    Route("DELETE", f"{_TOKENS}/{{token}}", _WRITE, _delete_token, _exist),
]
