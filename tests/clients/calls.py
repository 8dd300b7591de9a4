"""gRPC in all four shapes, through the gateway, by grpcio on both ends.

    calls.py serve                    a service; prints its port
    calls.py call TARGET [CA NAME]    calls it, over TLS with the certificate of an authority and a name
"""

import sys
import time
from concurrent import futures

import grpc

SHAPES = {
    "Unary": "unary_unary",
    "Count": "unary_stream",
    "Join": "stream_unary",
    "Echo": "stream_stream",
}


def unary(request, context):
    if request == b"fail":
        context.set_trailing_metadata((("x-detail", "because"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not 100% ready: é")
    if request == b"sleep":
        time.sleep(5)
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-seen", metadata.get("x-sent", "")),))
    return request * 2


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def join(requests, context):
    return b"".join(requests)


def echo(requests, context):
    yield from requests


def serve():
    behaviours = {"Unary": unary, "Count": count, "Join": join, "Echo": echo}
    handlers = {
        name: getattr(grpc, f"{shape}_rpc_method_handler")(behaviours[name])
        for name, shape in SHAPES.items()
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Calls", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def channel(target, ca=None, name=None):
    options = [("grpc.max_receive_message_length", -1)]
    if ca is None:
        return grpc.insecure_channel(target, options)
    with open(ca, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options.append(("grpc.ssl_target_name_override", name))
    return grpc.secure_channel(target, credentials, options)


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


def call(target, ca=None, name=None):
    with channel(target, ca, name) as calls:
        method = {
            name: getattr(calls, shape)(f"/test.Calls/{name}") for name, shape in SHAPES.items()
        }
        answer, details = method["Unary"].with_call(b"hello", metadata=(("x-sent", "1"),), timeout=10)
        assert answer == b"hellohello"
        assert ("x-seen", "1") in [tuple(pair) for pair in details.initial_metadata()]
        assert details.code() == grpc.StatusCode.OK

        assert list(method["Count"](b"100", timeout=10)) == [str(n).encode() for n in range(100)]
        assert method["Join"](iter([b"a", b"b", b"c"]), timeout=10) == b"abc"
        large = [bytes([n]) * 1_000_000 for n in range(8)]
        assert list(method["Echo"](iter(large), timeout=30)) == large
        many = [method["Unary"].future(str(n).encode(), timeout=20) for n in range(200)]
        assert [one.result() for one in many] == [str(n).encode() * 2 for n in range(200)]

        error = failure(lambda: method["Unary"](b"fail", timeout=10))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
        assert error.details() == "not 100% ready: é"
        assert ("x-detail", "because") in [tuple(pair) for pair in error.trailing_metadata()]

        error = failure(lambda: method["Unary"](b"sleep", timeout=0.3))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error

        missing = calls.unary_unary("/missing/Method")
        error = failure(lambda: missing(b"", timeout=10))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
        assert "no route" in error.details(), error.details()
    print("ok")


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
