#!/usr/bin/python3 -B
"""Real connections between two hosts: what arrives is compared byte by byte, and whom the other end sees is told.

    transfer.py serve [--port PORT]                     TCP and UDP, until it is ended
    transfer.py get ADDRESS… [--bytes N] [--rate BPS]   downloads, each compared by its SHA-256
    transfer.py put ADDRESS… [--bytes N]                uploads, the same
    transfer.py hold ADDRESS…                           connections that speak a line now and then, until SIGTERM
    transfer.py ask ADDRESS… [--bytes N]                a datagram each, which comes back whole
    transfer.py meet ADDRESS…                           connects while the other end does the same (simultaneous open)

with --connections N (of each address), --source-port PORT (of the first; -1: any), --port PORT. Prints one JSON object: how many
went well and how many did not (with the first error), the bytes, and for each that went well its two ends: "inside", what
this host calls it, and "outside", as the server saw it.
"""

import argparse
import asyncio
import errno
import hashlib
import json
import signal
import socket
import sys
import time

BLOCK = 1 << 16
SO_RCVBUFFORCE = 33  # beyond net.core.rmem_max, for root; Python has no name for it


def content(seed, size):
    """So many bytes that both sides know: in blocks, none like another."""
    for number in range(0, size, BLOCK):
        yield hashlib.shake_128(f"{seed}/{number}".encode()).digest(min(BLOCK, size - number))


def digest(blocks):
    whole = hashlib.sha256()
    for block in blocks:
        whole.update(block)
    return whole.hexdigest()


def ends(sock_or_transport):
    """Both ends of a connection, as this host calls them."""
    own, peer = (sock_or_transport.get_extra_info(name) for name in ("sockname", "peername"))
    return text(own), text(peer)


def text(address):
    host = address[0].removeprefix("::ffff:")
    return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"


# ------------------------------------------------------------------------------------------------ server


async def serve_connection(reader, writer):
    """A line of JSON comes in and one goes out, {"peer": …}; then what was asked for."""
    try:
        request = json.loads(await reader.readline())
        writer.write(json.dumps({"peer": ends(writer)[1]}).encode() + b"\n")
        kind, size = request["kind"], request.get("bytes", 0)
        if kind == "get":
            await send_content(writer, request["seed"], size, request.get("rate"))
        elif kind == "put":
            got = await receive_digest(reader, size)
            writer.write(got.encode() + b"\n")
        else:
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, ValueError, OSError):
        pass  # the other end is told by what is missing
    finally:
        writer.close()


async def send_content(writer, seed, size, rate=None):
    begin, sent = time.monotonic(), 0
    for block in content(seed, size):
        writer.write(block)
        await writer.drain()
        sent += len(block)
        ahead = begin + sent / rate - time.monotonic() if rate else 0
        if ahead > 0:
            await asyncio.sleep(ahead)


async def receive_digest(reader, size):
    whole = hashlib.sha256()
    while size:
        block = await reader.read(min(BLOCK, size))
        if not block:
            raise asyncio.IncompleteReadError(b"", size)
        whole.update(block)
        size -= len(block)
    return whole.hexdigest()


class Echo(asyncio.DatagramProtocol):
    """A datagram comes back behind a line that says whom it came from."""

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)

    def datagram_received(self, data, address):
        self.transport.sendto(text(address).encode() + b"\n" + data, address)


async def serve(options):
    stopped = stop_event()
    server = await asyncio.start_server(serve_connection, "", options.port, backlog=4096)
    # The answer must come from the address that was asked, so each address has a socket of its own.
    for address in options.answer or ["0.0.0.0"]:
        await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=(address, options.port))
    await stopped.wait()
    server.close()


def stop_event():
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


# ------------------------------------------------------------------------------------------------ client


def local_address(address, options, source_port):
    """What to bind to, or None. Sources are taken in turn."""
    if options.source:
        options.source.append(options.source.pop(0))
        return options.source[-1], max(source_port, 0)
    return ("::" if ":" in address else "0.0.0.0", source_port) if source_port >= 0 else None


async def connect(address, options, source_port):
    return await asyncio.open_connection(address, options.port, local_addr=local_address(address, options, source_port))


async def request(address, options, source_port, kind, **fields):
    reader, writer = await connect(address, options, source_port)
    own = ends(writer)[0]
    writer.write(json.dumps({"kind": kind} | fields).encode() + b"\n")
    peer = json.loads(await reader.readline() or "{}").get("peer")
    if peer is None:
        raise ConnectionResetError(errno.ECONNRESET, "closed before it answered")
    return reader, writer, {"inside": own, "outside": peer}


async def get(address, options, source_port):
    seed = f"{source_port}/{time.monotonic_ns()}"
    fields = {"seed": seed, "bytes": options.bytes, "rate": options.rate}
    reader, writer, seen = await request(address, options, source_port, "get", **fields)
    got = await receive_digest(reader, options.bytes)
    writer.close()
    return seen, got == digest(content(seed, options.bytes))


async def put(address, options, source_port):
    seed = f"{source_port}/{time.monotonic_ns()}"
    reader, writer, seen = await request(address, options, source_port, "put", bytes=options.bytes)
    await send_content(writer, seed, options.bytes, options.rate)
    got = (await reader.readline()).decode().strip()
    writer.close()
    return seen, got == digest(content(seed, options.bytes))


async def hold(address, options, source_port):
    """Speaks ten times a second; well only if it was alive to the end."""
    reader, writer, seen = await request(address, options, source_port, "hold")
    options.held += 1
    if options.held == options.connections * len(options.address):
        print(json.dumps({"held": options.held}), flush=True)  # who waits for that knows when they stand
    number = 0
    while not options.stopped.is_set():
        line = b"%d\n" % number
        writer.write(line)
        answer = await asyncio.wait_for(reader.readline(), options.patience)
        if answer != line:
            raise ConnectionResetError(errno.ECONNRESET, f"line {number}: {answer!r}")
        number += 1
        try:
            await asyncio.wait_for(options.stopped.wait(), 0.1)
        except TimeoutError:
            pass
    writer.close()
    return seen, True


async def ask(address, options, source_port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one port for several other ends
    if local := local_address(address, options, source_port):
        sock.bind(local)
    sock.connect((address, options.port))
    own = text(sock.getsockname())
    data = b"".join(content(own, options.bytes))
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(sock, data)
        answer = await asyncio.wait_for(loop.sock_recv(sock, 1 << 16), options.patience)
    finally:
        sock.close()
    peer, _, rest = answer.partition(b"\n")
    return {"inside": own, "outside": peer.decode()}, rest == data


async def meet(address, options, source_port):
    """Nobody listens: --source-port here is --port there, and the other way round. Each tells the other whom it sees."""
    reader, writer = await connect(address, options, source_port)
    own, peer = ends(writer)
    writer.write(json.dumps({"peer": peer}).encode() + b"\n")
    seen = json.loads(await reader.readline() or "{}").get("peer")
    writer.close()
    return {"inside": own, "outside": seen}, seen is not None


async def client(options):
    options.stopped, options.held = stop_event(), 0
    gate = asyncio.Semaphore(options.at_once or 1 << 30)

    async def one(address, number):
        source_port = -1 if options.source_port < 0 else options.source_port + number
        async with gate:
            task = options.run(address, options, source_port)
            try:
                return await (task if options.run is hold else asyncio.wait_for(task, options.patience))
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                return None, type(error).__name__ + (f": {error}" if str(error) else "")

    done = await asyncio.gather(*(one(a, n) for a in options.address for n in range(options.connections)))
    well = [seen for seen, result in done if result is True]
    ill = ["other content" if result is False else result for _, result in done if result is not True]
    print(json.dumps({
        "well": len(well), "ill": len(ill), "error": ill[0] if ill else None,
        "bytes": options.bytes * len(well), "ends": well,
    }))
    return 1 if ill else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("serve", serve), ("get", get), ("put", put), ("hold", hold), ("ask", ask), ("meet", meet)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--port", type=int, default=8000)
        if run is serve:
            command.add_argument("--answer", action="append", metavar="ADDRESS", help="answers UDP at these addresses")
            continue
        command.add_argument("address", nargs="+")
        command.add_argument("--bytes", type=int, default=100 if run is ask else 1 << 20)
        command.add_argument("--connections", type=int, default=1)
        command.add_argument("--at-once", type=int, default=0, help="connections at a time; 0: all")
        command.add_argument("--source-port", type=int, default=-1)
        command.add_argument("--source", action="append", metavar="ADDRESS", help="from there; of several in turn")
        command.add_argument("--rate", type=float, help="bytes in a second of each")
        command.add_argument("--patience", type=float, default=15, help="seconds for each, hold: for each line")
    options = parser.parse_args()
    if options.run is serve:
        asyncio.run(serve(options))
    else:
        sys.exit(asyncio.run(client(options)))


if __name__ == "__main__":
    main()
