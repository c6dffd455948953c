"""`POST /control/...`: what an operator may do, each answered with a sentence, and each in the log."""

import time
from dataclasses import asdict
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from xds_server.admin.access import Access, DeniedError
from xds_server.runtime.control import MAX_REASON, Control, ControlError, Outcome, refused

_LONGEST_BODY: Final = 4096
_REFUSALS: Final = 10
"""Refused attempts that are logged in a minute: whoever is refused must not fill the log."""

_MINUTE: Final = 60.0
_Reason = Annotated[str, Meta(max_length=MAX_REASON)]


class _Freeze(Struct, frozen=True, forbid_unknown_fields=True):
    reason: _Reason = ""


class _Thaw(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing has to be said."""


class _Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    number: Annotated[int, Meta(ge=0)] | None = None
    reason: _Reason = ""


class _Accept(Struct, frozen=True, forbid_unknown_fields=True):
    hold: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    all: bool = False


class ControlRoutes:
    """The routes with which an operator acts."""

    def __init__(self, control: Control, access: Access) -> None:
        self._control = control
        self._access = access
        self._minute = 0.0
        self._refused = 0

    def routes(self) -> list[web.RouteDef]:
        """Give them."""
        return [
            web.get("/control/history", self._history),
            web.post("/control/freeze", self._freeze),
            web.post("/control/thaw", self._thaw),
            web.post("/control/rollback", self._rollback),
            web.post("/control/accept", self._accept),
        ]

    async def _history(self, _request: web.Request) -> web.Response:
        control = self._control
        states = [
            {
                "number": past.number,
                "at": past.at,
                "services": len(past.catalog.services),
                **asdict(change),
            }
            for past, change in control.history()
        ]
        return web.json_response({"serving": control.serving, "operator": control.view(), "states": states})

    async def _freeze(self, request: web.Request) -> web.Response:
        return await self._act(request, _Freeze, lambda given, by: self._control.freeze(by, given.reason))

    async def _thaw(self, request: web.Request) -> web.Response:
        return await self._act(request, _Thaw, lambda _, by: self._control.thaw(by))

    async def _rollback(self, request: web.Request) -> web.Response:
        return await self._act(
            request,
            _Rollback,
            lambda given, by: self._control.rollback(given.number, by, reason=given.reason),
        )

    async def _accept(self, request: web.Request) -> web.Response:
        return await self._act(request, _Accept, self._release)

    def _release(self, given: _Accept, by: str) -> Outcome:
        if given.all == (given.hold is not None):
            raise ControlError('say which hold, as {"hold": "last-endpoint/user"}, or {"all": true}')
        return self._control.accept(given.hold, by)

    async def _act(self, request: web.Request, form: type[Any], act: Any) -> web.Response:
        """Check who asks for what, do it, and answer; what is refused goes into the log."""
        by = "nobody known"
        try:
            by = self._access.caller(request)
            outcome = act(await _given(request, form), by)
        except DeniedError as error:
            return self._refuse(request, error.status, str(error), error.by)
        except _BodyError as error:
            return self._refuse(request, 400, str(error), by)
        except ControlError as error:
            return self._refuse(request, 409, str(error), by)
        answer = {
            "changed": outcome.changed,
            "sentence": outcome.sentence,
            "serving": self._control.serving,
            "operator": self._control.view(),
        }
        return web.json_response(answer)

    def _refuse(self, request: web.Request, status: int, sentence: str, by: str) -> web.Response:
        now = time.monotonic()
        if now - self._minute > _MINUTE:
            self._minute, self._refused = now, 0
        self._refused += 1
        if self._refused <= _REFUSALS:
            refused(by, request.path.rpartition("/")[2], sentence)
        return web.json_response({"error": sentence}, status=status)


class _BodyError(Exception):
    """The body is not what is asked for."""


async def _given(request: web.Request, form: type[Any]) -> Any:
    """Read a body of at most 4 KiB; none counts as `{}`. Raises _BodyError."""
    body = b""
    async for piece in request.content.iter_chunked(_LONGEST_BODY):
        body += piece
        if len(body) > _LONGEST_BODY:
            raise _BodyError(f"the body is larger than {_LONGEST_BODY} bytes")
    try:
        return msgspec.json.decode(body or b"{}", type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _BodyError(f"the body is not right: {str(error)[:200]}") from None
