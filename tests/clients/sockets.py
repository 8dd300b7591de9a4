"""WebSockets through the gateway, by the package websockets on both ends.

    sockets.py serve                  a server that gives messages back; prints its port
    sockets.py connect URL [CA]       talks to it, over TLS with the certificate of an authority
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError, InvalidStatus


async def give_back(socket):
    async for message in socket:
        if message == "close":
            await socket.close(4001, "as you wish")
            return
        await socket.send(message)


async def serve_forever():
    async with serve(give_back, "127.0.0.1", 0, max_size=None, subprotocols=["chat"]) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


async def talk(url, ca=None):
    context = ssl.create_default_context(cafile=ca) if ca else None
    options = dict(max_size=None, ssl=context)
    if ca:
        # The name of the URL is the certificate's; where it leads is this machine.
        options["host"] = "127.0.0.1"
    async with connect(url + "/socket", subprotocols=["chat"], **options) as socket:
        assert socket.subprotocol == "chat"
        for message in ["hello", "é" * 1000, b"\0\xff" * 100_000, "", b""]:
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(["frag", "ment", "ed"])
        assert await socket.recv() == "fragmented"
        await (await socket.ping())
        large = bytes(range(256)) * 65_536
        await socket.send(large)
        assert await socket.recv() == large
        await socket.send("close")
        try:
            await socket.recv()
            raise AssertionError("it is still open")
        except ConnectionClosedError as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as you wish"), closed

    many = [connect(url + "/socket", subprotocols=["chat"], **options) for _ in range(50)]
    sockets = await asyncio.gather(*(one.__aenter__() for one in many))
    for index, socket in enumerate(sockets):
        await socket.send(str(index))
    assert [await socket.recv() for socket in sockets] == [str(index) for index in range(50)]
    await asyncio.gather(*(socket.close() for socket in sockets))

    try:
        await connect(url + "/plain", **options)
        raise AssertionError("a route without WebSocket took one")
    except InvalidStatus as refused:
        assert refused.response.status_code != 101
    print("ok")


if __name__ == "__main__":
    asyncio.run({"serve": serve_forever, "connect": talk}[sys.argv[1]](*sys.argv[2:]))
