"""A way from outside of the cluster to what a service tells its clients: connections are led on to its endpoints.

Members have names and addresses of the cluster alone. Who looks from elsewhere (the page, on the machine of a person)
comes through a port that the API server forwards to the pod that leads, as the command line does, with TLS to the
control plane in it. He shows the token that he shows the master, and is led on to an endpoint if the master tells him
how to log in there, and to no other address: nobody gets anything that he could not ask for.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Final

import msgspec

from upcall.cluster.folder import DataFolder
from upcall.kubernetes.resources.operator import Operator
from upcall.protocol import relay
from upcall.protocol.errors import Forbidden, Invalid, NotNow, UpcallError
from upcall.transport.piping import Streams, pipe

AT_ONCE_MAX: Final = 64
ASK_S: Final = 30.0
CONNECT_S: Final = 10.0


async def relaying(folder: DataFolder, host: str, port: int) -> None:
    """Until cancelled."""
    few = asyncio.Semaphore(AT_ONCE_MAX)

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if few.locked():
                raise NotNow(f"{AT_ONCE_MAX} connections are led on already", expected="that one of them ends")
            async with few:
                far = await _led(folder, reader)
                writer.write(relay.line(relay.Answer()))
                await pipe((reader, writer), far)
        except UpcallError as error:
            writer.write(relay.line(relay.Answer(problem=error.problem)))
        finally:
            with suppress(OSError, ssl.SSLError):
                await writer.drain()
            writer.close()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.load_cert_chain(folder.certificate, folder.certificate_key)
    server = await asyncio.start_server(taken, host, port, ssl=tls, limit=relay.LINE_BYTES_MAX)
    async with server:
        await server.serve_forever()


async def _led(folder: DataFolder, reader: asyncio.StreamReader) -> Streams:
    try:
        async with asyncio.timeout(ASK_S):
            asked = msgspec.json.decode(await reader.readline(), type=relay.Ask)
    except (TimeoutError, OSError, ValueError) as error:
        raise Invalid(f"it is not said to whom: {error or type(error).__name__}") from None
    await _check(folder, asked)
    host, _, port = asked.address.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError, ValueError) as error:
        raise NotNow(f"{asked.address} does not answer: {error or type(error).__name__}") from None


async def _check(folder: DataFolder, asked: relay.Ask) -> None:
    where = f"{asked.service}.{asked.endpoint}"
    async with Operator(folder.master_socket, asked.token) as master:
        told = [
            one
            for one in await master.get("/v1/endpoints")
            if (one["service"], one["name"]) == (asked.service, asked.endpoint)
        ]
        if not any(asked.address in one["addresses"] for one in told):
            raise Forbidden(f"{asked.address} is no address of {where}", where=where, expected="one of its endpoint's")
        # Its name is one that there is, and stands in the path as it is.
        await master.get(f"/v1/endpoints/{asked.service}/{asked.endpoint}/credentials")
