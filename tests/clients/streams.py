"""HTTP/3 through the gateway, by aioquic.

    streams.py HOST PORT NAME CA      asks an echo backend behind it
"""

import asyncio
import json
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}

    def quic_event_received(self, event):
        for happened in self.http.handle_event(event):
            if not isinstance(happened, (HeadersReceived, DataReceived)):
                continue
            heads, body, done = self.answers[happened.stream_id]
            if isinstance(happened, HeadersReceived):
                heads.append(dict(happened.headers))
            else:
                body.extend(happened.data)
            if happened.stream_ended:
                done.set_result(None)

    async def ask(self, method, authority, path, body=b"", fields=()):
        stream = self._quic.get_next_available_stream_id()
        answer = ([], bytearray(), asyncio.get_running_loop().create_future())
        self.answers[stream] = answer
        head = [
            (b":method", method),
            (b":scheme", b"https"),
            (b":authority", authority),
            (b":path", path),
            *fields,
        ]
        self.http.send_headers(stream, head, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        await asyncio.wait_for(answer[2], 30)
        return answer[0][0], bytes(answer[1])


async def main(host, port, name, ca):
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True, server_name=name)
    configuration.load_verify_locations(ca)
    authority = f"{name}:{port}".encode()
    async with connect(host, int(port), configuration=configuration, create_protocol=Client) as client:
        head, body = await client.ask(b"GET", authority, b"/x?y")
        told = json.loads(body)
        assert head[b":status"] == b"200", head
        assert (told["method"], told["target"]) == ("GET", "/x?y"), told
        assert not any(name == "transfer-encoding" for name, value in told["headers"]), told

        sent = bytes(97 + n % 26 for n in range(1_000_000))
        head, body = await client.ask(b"POST", authority, b"/", sent)
        assert json.loads(body)["body"].encode() == sent

        many = [client.ask(b"GET", authority, f"/{n}".encode()) for n in range(100)]
        for n, (head, body) in enumerate(await asyncio.gather(*many)):
            assert json.loads(body)["target"] == f"/{n}"

        head, body = await client.ask(b"GET", authority, b"/a/../../b")
        assert head[b":status"] == b"400", head
        fields = [(b"x-%d" % n, b"v" * 200) for n in range(50)]
        head, body = await client.ask(b"GET", authority, b"/", fields=fields)
        told = [name for name, value in json.loads(body)["headers"] if value == "v" * 200]
        assert told == [f"x-{n}" for n in range(50)], told
        client.change_connection_id()
        head, body = await client.ask(b"GET", authority, b"/again")
        assert head[b":status"] == b"200", head
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
