"""What goes around every call: a failure becomes the status that the core understands, with a line in the log where it
is the driver's affair, and what nobody thought of becomes DRIVER_BUG."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import NoReturn

import grpc

from driver.errors import Failure, Reason

_log = logging.getLogger(__name__)

_WORTH_A_LINE = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.PERMISSION_DENIED,
}
# T9; one of another form is ignored.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_Serve = Callable[..., Awaitable[object]]


class AroundCalls(grpc.aio.ServerInterceptor):
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(details)
        if handler is None or not details.method.startswith("/longshore."):
            return handler
        forms = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(_around(handler.unary_unary, details.method), *forms)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(_around(handler.unary_stream, details.method), *forms)
        return grpc.stream_stream_rpc_method_handler(_around(handler.stream_stream, details.method), *forms)


def _around(serve: _Serve, method: str) -> _Serve:
    async def call(request: object, context: grpc.aio.ServicerContext) -> object:
        try:
            return await _answer(serve, method, request, context)
        except grpc.aio.InternalError as error:
            # Something could not be sent, for the core has given the call up: as if gRPC had said so in time (D3).
            raise asyncio.CancelledError from error

    return call


async def _answer(serve: _Serve, method: str, request: object, context: grpc.aio.ServicerContext) -> object:
    try:
        return await serve(request, context)
    except Failure as failure:
        if failure.code in _WORTH_A_LINE:
            _log.warning("%s failed%s: %s: %s", method, _for_whom(context), failure.reason.name, failure)
        await _abort(context, failure)
    except grpc.aio.BaseError:
        raise
    except Exception:
        _log.exception("%s broke down%s", method, _for_whom(context))
        await _abort(context, Failure(Reason.DRIVER_BUG, "the driver has a bug; its log says more"))


async def _abort(context: grpc.aio.ServicerContext, failure: Failure) -> NoReturn:
    await context.abort(failure.code, failure.message, (("grpc-status-details-bin", failure.details()),))


def _for_whom(context: grpc.aio.ServicerContext) -> str:
    found = [str(value) for name, value in context.invocation_metadata() or () if name == "x-request-id"]
    fits = len(found) == 1 and _REQUEST_ID.fullmatch(found[0])
    return f" for request {found[0]}" if fits else ""
