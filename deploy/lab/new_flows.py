#!/usr/bin/python3 -B
"""Send, from an end host, the first packets of many sessions, each of another source port or address.

    new_flows.py udp|syn ADDRESS PORT --gateway MAC --source ADDRESS... [--flows N] [--rate PPS]

Goes through the ports from 1024 on, then those of the next source. Prints how many were sent.
"""

import argparse
import socket
import struct
import time

FIRST_PORT, PORTS = 1024, 65536 - 1024
TCP_SYN = 0x5002


def fold(total):
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def words(data):
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def frames(options):
    """One for each flow. Only the port and a checksum differ from one to the next."""
    with open(f"/sys/class/net/{options.dev}/address") as own:
        ethernet = bytes.fromhex((options.gateway + own.read().strip()).replace(":", "")) + b"\x08\x00"
    target = socket.inet_aton(options.address)
    syn = options.kind == "syn"
    for source in map(socket.inet_aton, options.source):
        protocol, length = (6, 20) if syn else (17, 12)
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0x4000, 64, protocol, 0) + source + target
        header = header[:10] + struct.pack("!H", 0xFFFF - fold(words(header))) + header[12:]
        pseudo = words(source + target) + protocol + length
        for port in range(FIRST_PORT, FIRST_PORT + PORTS):
            if syn:
                before, after = struct.pack("!HHIIHH", port, options.port, 1, 0, TCP_SYN, 65535), b"\0\0"
            else:
                before, after = struct.pack("!HHH", port, options.port, length), b"flow"
            checksum = 0xFFFF - fold(pseudo + words(before) + words(after))
            yield ethernet + header + before + struct.pack("!H", checksum) + after


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("udp", "syn"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--dev", default="eth0")
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--source", required=True, action="append")
    parser.add_argument("--flows", type=int, default=PORTS)
    parser.add_argument("--rate", type=float, default=10000, help="packets in a second")
    options = parser.parse_args()

    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((options.dev, 0))
    begin, sent = time.monotonic(), 0
    for frame in frames(options):
        if sent >= options.flows:
            break
        sock.send(frame)
        sent += 1
        if sent % 50 == 0:
            ahead = begin + sent / options.rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
    print(sent)


if __name__ == "__main__":
    main()
