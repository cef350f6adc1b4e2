#!/usr/bin/python3
"""Verify every packet of a capture: lengths and checksums, outer and inner.

Checked in every frame: IPv4 header length, total length and checksum; IPv6 payload length and extension headers; UDP,
TCP, ICMP and ICMPv6 lengths and checksums; ARP lengths. A UDP datagram to one of the VXLAN ports is opened, and the
inner frame is checked in the same way.

Of the VXLAN packets sent by --vtep ADDRESS (RFC 7348) is asked more: I flag set, all reserved bits zero, UDP source
port in 49152..65535, UDP checksum as --udp-checksum says, DF set, TTL not below --min-ttl, no outer fragment.

Prints one line per fault and a summary; the exit code is 1 when there was a fault or fewer packets than --at-least.
"""

import argparse
import ipaddress
import struct
import sys
from collections import Counter
from pathlib import Path

ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x86DD
ETHERTYPES_VLAN = (0x8100, 0x88A8)
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
IPV6_OPTIONS, IPV6_FRAGMENT = (0, 43, 60), 44
MIN_FRAME = 60  # bytes without the frame check sequence: shorter ones are padded


class Fault(Exception):
    """What is wrong with a packet."""


def need(condition, text):
    if not condition:
        raise Fault(text)


def ones_sum(data):
    """The 16-bit one's complement sum (RFC 1071); 0xffff over data that includes its own right checksum."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Verifier:
    """Walks a frame from the outside in; raises Fault at the first thing that is wrong."""

    def __init__(self, options):
        self.ports = options.ports
        self.vtep = options.vtep and ipaddress.ip_address(options.vtep).packed
        self.options = options
        self.seen = Counter()

    def ethernet(self, frame, where):
        need(len(frame) >= 14, f"{where} frame of {len(frame)} bytes")
        offset, (ethertype,) = 14, struct.unpack("!H", frame[12:14])
        while ethertype in ETHERTYPES_VLAN:
            need(len(frame) >= offset + 4, f"{where} frame ends within a VLAN tag")
            (ethertype,) = struct.unpack("!H", frame[offset + 2 : offset + 4])
            offset += 4
        network = {ETHERTYPE_IPV4: self.ipv4, ETHERTYPE_IPV6: self.ipv6, ETHERTYPE_ARP: self.arp}.get(ethertype)
        if network:
            # Only a frame of the minimum size may hold more than its packet.
            padded = len(frame) <= MIN_FRAME
            network(frame[offset:], f"{where} ", padded)

    def arp(self, packet, where, padded):
        need(len(packet) >= 28, f"{where}ARP of {len(packet)} bytes")
        need(packet[:6] == bytes((0, 1, 8, 0, 6, 4)), f"{where}ARP that is not Ethernet/IPv4")
        need(padded or len(packet) == 28, f"{where}ARP with {len(packet) - 28} bytes behind its end")

    def ipv4(self, packet, where, padded):
        need(len(packet) >= 20, f"{where}IPv4 header cut short")
        header_len, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
        need(packet[0] >> 4 == 4 and 20 <= header_len <= total, f"{where}IPv4 version or header length")
        need(len(packet) == total or padded and len(packet) > total, f"{where}IPv4 total length {total}, have {len(packet)}")
        need(ones_sum(packet[:header_len]) == 0xFFFF, f"{where}IPv4 header checksum")
        self.seen["ipv4"] += 1
        fragment = int.from_bytes(packet[6:8], "big")
        if fragment & 0x3FFF:  # more fragments, or an offset: the layer above is not whole
            self.seen["fragments"] += 1
            need(where != "outer " or packet[12:16] != self.vtep, "outer fragment from the VTEP")
            return
        source, destination = packet[12:16], packet[16:20]
        pseudo = source + destination + struct.pack("!BBH", 0, packet[9], total - header_len)
        outer = {"source": source, "ttl": packet[8], "df": bool(fragment & 0x4000), "ipv6": False}
        self.transport(packet[9], packet[header_len:total], pseudo, where, outer)

    def ipv6(self, packet, where, padded):
        need(len(packet) >= 40, f"{where}IPv6 header cut short")
        length, protocol = int.from_bytes(packet[4:6], "big"), packet[6]
        need(packet[0] >> 4 == 6, f"{where}IPv6 version")
        need(len(packet) == 40 + length or padded and len(packet) > 40 + length, f"{where}IPv6 payload length {length}")
        self.seen["ipv6"] += 1
        payload = packet[40 : 40 + length]
        while protocol in IPV6_OPTIONS:
            need(len(payload) >= 8, f"{where}IPv6 extension header cut short")
            protocol, payload = payload[0], payload[(payload[1] + 1) * 8 :]
        if protocol == IPV6_FRAGMENT:
            self.seen["fragments"] += 1
            return
        pseudo = packet[8:40] + struct.pack("!IHBB", len(payload), 0, 0, protocol)
        outer = {"source": packet[8:24], "ttl": packet[7], "df": True, "ipv6": True}
        self.transport(protocol, payload, pseudo, where, outer)

    def transport(self, protocol, payload, pseudo, where, outer):
        if protocol == UDP:
            self.udp(payload, pseudo, where, outer)
        elif protocol == TCP:
            need(len(payload) >= 20 and 20 <= (payload[12] >> 4) * 4 <= len(payload), f"{where}TCP header length")
            need(ones_sum(pseudo + payload) == 0xFFFF, f"{where}TCP checksum")
            self.seen["tcp"] += 1
        elif protocol == ICMP:
            need(len(payload) >= 8 and ones_sum(payload) == 0xFFFF, f"{where}ICMP checksum")
            self.seen["icmp"] += 1
        elif protocol == ICMPV6:
            need(len(payload) >= 4 and ones_sum(pseudo + payload) == 0xFFFF, f"{where}ICMPv6 checksum")
            self.seen["icmpv6"] += 1

    def udp(self, payload, pseudo, where, outer):
        need(len(payload) >= 8, f"{where}UDP header cut short")
        source_port, port, length, checksum = struct.unpack("!4H", payload[:8])
        need(length == len(payload), f"{where}UDP length {length}, have {len(payload)}")
        vxlan = port in self.ports and where == "outer "
        if checksum:
            need(ones_sum(pseudo + payload) == 0xFFFF, f"{where}UDP checksum")
        else:  # allowed on IPv4, and for tunnels on IPv6 (RFC 6935)
            need(vxlan or not outer["ipv6"], f"{where}UDP checksum zero on IPv6")
        self.seen["udp"] += 1
        if vxlan:
            self.vxlan(payload[8:], source_port, checksum, outer)

    def vxlan(self, payload, source_port, checksum, outer):
        need(len(payload) >= 8, "VXLAN header cut short")
        self.seen["vxlan"] += 1
        if outer["source"] == self.vtep:
            self.seen["vxlan-from-vtep"] += 1
            self.sent_by_us(payload, source_port, checksum, outer)
        self.ethernet(payload[8:], "inner")

    def sent_by_us(self, payload, source_port, checksum, outer):
        need(payload[0] == 0x08, f"VXLAN flags {payload[0]:#04x}, not 0x08")
        need(payload[1:4] == b"\0\0\0" and payload[7] == 0, "VXLAN reserved bits not zero")
        need(49152 <= source_port, f"VXLAN UDP source port {source_port} not in 49152..65535")
        want = {"on": True, "off": False, "auto": outer["ipv6"]}[self.options.udp_checksum]
        need(bool(checksum) == want, f"VXLAN UDP checksum {checksum:#06x}")
        need(outer["df"], "VXLAN outer packet without DF")
        need(outer["ttl"] >= self.options.min_ttl, f"VXLAN outer TTL {outer['ttl']}")


def read_pcap(path):
    """The frames of a classic pcap file, Ethernet, as (captured bytes, original length)."""
    data = Path(path).read_bytes()
    order = {0xA1B2C3D4: "<", 0xD4C3B2A1: ">", 0xA1B23C4D: "<", 0x4D3CB2A1: ">"}.get(struct.unpack("<I", data[:4])[0])
    if order is None:
        sys.exit(f"{path}: not a pcap file")
    if struct.unpack(order + "I", data[20:24])[0] != 1:
        sys.exit(f"{path}: not a capture of Ethernet")
    offset = 24
    while offset + 16 <= len(data):
        captured, original = struct.unpack(order + "2I", data[offset + 8 : offset + 16])
        yield data[offset + 16 : offset + 16 + captured], original
        offset += 16 + captured


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pcap")
    parser.add_argument("--ports", type=lambda s: tuple(map(int, s.split(","))), default=(4789, 8472), help="VXLAN ports")
    parser.add_argument("--vtep", help="the address whose VXLAN packets are held to RFC 7348")
    parser.add_argument("--min-ttl", type=int, default=64, help="of the VTEP's outer packets")
    parser.add_argument("--udp-checksum", choices=("auto", "on", "off"), default="auto", help="auto: only on IPv6")
    parser.add_argument("--at-least", type=int, default=1, help="VXLAN packets (from the VTEP when --vtep is given)")
    options = parser.parse_args()

    verifier, frames, faults = Verifier(options), 0, 0
    for frames, (frame, original) in enumerate(read_pcap(options.pcap), 1):
        try:
            need(len(frame) == original, f"captured {len(frame)} of {original} bytes")
            verifier.ethernet(frame, "outer")
        except Fault as fault:
            faults += 1
            print(f"packet {frames}: {fault}: {frame[:120].hex()}")
    print(f"{frames} frames, {faults} faults;", ", ".join(f"{n} {what}" for what, n in sorted(verifier.seen.items())))
    enough = verifier.seen["vxlan-from-vtep" if options.vtep else "vxlan"] >= options.at_least
    if not enough:
        print(f"fewer than {options.at_least} VXLAN packets to look at")
    sys.exit(0 if enough and not faults else 1)


if __name__ == "__main__":
    main()
