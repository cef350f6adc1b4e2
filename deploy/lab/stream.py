#!/usr/bin/python3
"""A stream of numbered UDP datagrams between two stations: what was lost, late, twice or wrong is counted exactly.

    stream.py receive [--port PORT]                  waits for the end of the stream, then prints the counts
    stream.py send ADDRESS [--flows N] [--rate PPS] [--seconds S] [--size BYTES]

Each flow has a source port of its own. A flow ends with a few datagrams that say how many there were; the receiver
ends when all flows have, or when nothing has come for --silence seconds.
"""

import argparse
import itertools
import json
import socket
import struct
import time

HEADER = struct.Struct("!4sBxHIQ")  # magic, end of flow, flows, flow, number (at the end: how many there were)
MAGIC = b"vtlS"
SO_RCVBUFFORCE = 33  # beyond net.core.rmem_max, for root; Python has no name for it
BUFFER = 64 << 20  # so that a receiver that has to wait for its core loses nothing


def content(flow, number, size):
    """What a datagram carries behind its header: different for each, and known to both sides."""
    return bytes([(flow * 31 + number * 7 + 1) & 0xFF]) * (size - HEADER.size)


class Flow:
    """What has been seen of one flow."""

    def __init__(self):
        self.seen = set()
        self.highest = -1
        self.late = self.twice = 0
        self.total = None

    def take(self, number):
        if number in self.seen:
            self.twice += 1
        elif number < self.highest:
            self.late += 1
        self.seen.add(number)
        self.highest = max(self.highest, number)


def open_socket(family, option):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    return sock


def receive(options):
    sock = open_socket(socket.AF_INET6, SO_RCVBUFFORCE)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", options.port))
    sock.settimeout(options.silence)
    flows, wrong = {}, 0
    while True:
        try:
            datagram = sock.recv(65536)
        except socket.timeout:
            break
        if len(datagram) < HEADER.size:
            wrong += 1
            continue
        magic, end, count, flow_id, number = HEADER.unpack_from(datagram)
        if magic != MAGIC or flow_id >= count:
            wrong += 1
            continue
        flow = flows.setdefault(flow_id, Flow())
        if end:
            flow.total = number
            if len(flows) == count and all(f.total is not None for f in flows.values()):
                break
        elif datagram[HEADER.size:] != content(flow_id, number, len(datagram)):
            wrong += 1
        else:
            flow.take(number)
    totals = [flow.total for flow in flows.values()]
    received = sum(len(flow.seen) for flow in flows.values())
    print(json.dumps({
        "flows": len(flows),
        "received": received,
        "lost": None if None in totals or not totals else sum(totals) - received,
        "late": sum(flow.late for flow in flows.values()),
        "twice": sum(flow.twice for flow in flows.values()),
        "wrong": wrong,
    }))


def send(options):
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    target = (options.address, options.port)
    socks = [open_socket(family, socket.SO_SNDBUF) for _ in range(options.flows)]
    begin = time.monotonic()
    sent = 0
    for number in itertools.count():
        for flow, sock in enumerate(socks):
            head = HEADER.pack(MAGIC, 0, options.flows, flow, number)
            sock.sendto(head + content(flow, number, options.size), target)
            sent += 1
        ahead = begin + sent / options.rate - time.monotonic()
        if ahead > 0.001:
            time.sleep(ahead)
        if time.monotonic() - begin >= options.seconds:
            break
    for _ in range(3):
        time.sleep(0.05)
        for flow, sock in enumerate(socks):
            sock.sendto(HEADER.pack(MAGIC, 1, options.flows, flow, number + 1), target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=7000)
    commands = parser.add_subparsers(required=True)
    receiver = commands.add_parser("receive")
    receiver.set_defaults(run=receive)
    receiver.add_argument("--silence", type=float, default=5)
    sender = commands.add_parser("send")
    sender.set_defaults(run=send)
    sender.add_argument("address")
    sender.add_argument("--flows", type=int, default=1)
    sender.add_argument("--rate", type=float, default=2000, help="datagrams per second, all flows together")
    sender.add_argument("--seconds", type=float, default=2)
    sender.add_argument("--size", type=int, default=200)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
