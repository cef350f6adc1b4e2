#!/usr/bin/python3 -B
"""verify_pcap.py must accept a right frame and name what is wrong with any other: one bit at a time."""

import struct
import unittest
from argparse import Namespace
from ipaddress import ip_address

from verify_pcap import Fault, Verifier, ones_sum

MACS = bytes.fromhex("020000000002020000000001")
OPTIONS = Namespace(ports=(4789,), vtep="192.0.2.11", min_ttl=64, udp_checksum="auto")


def ipv4(source, destination, protocol, payload, flags=0x4000, ttl=64):
    header = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, flags, ttl, protocol, 0))
    header += ip_address(source).packed + ip_address(destination).packed
    header[10:12] = struct.pack("!H", 0xFFFF - ones_sum(bytes(header)))
    return bytes(header) + payload


def ping():
    echo = bytearray(struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(range(48)))
    echo[2:4] = struct.pack("!H", 0xFFFF - ones_sum(bytes(echo)))
    return MACS + b"\x08\x00" + ipv4("10.0.0.1", "10.0.0.2", 1, bytes(echo))


def vxlan(inner, word=0x08000000, last=10 << 8, source_port=50000, **outer):
    payload = struct.pack("!II", word, last) + inner
    udp = struct.pack("!4H", source_port, 4789, 8 + len(payload), 0) + payload
    return MACS + b"\x08\x00" + ipv4("192.0.2.11", "192.0.2.21", 17, udp, **outer)


def fault_of(frame):
    try:
        Verifier(OPTIONS).ethernet(frame, "outer")
    except Fault as fault:
        return str(fault)
    return None


class VerifyPcap(unittest.TestCase):
    def test_right_frames_pass(self):
        for frame in (ping(), vxlan(ping()), MACS + b"\x08\x06" + bytes((0, 1, 8, 0, 6, 4)) + bytes(40)):
            self.assertIsNone(fault_of(frame))

    def test_any_bit_changed_in_a_covered_place_is_found(self):
        for frame, covered in ((ping(), range(14, len(ping()))), (vxlan(ping()), range(50 + 14, len(vxlan(ping()))))):
            for bit in (position * 8 + n for position in covered for n in range(8)):
                changed = bytearray(frame)
                changed[bit // 8] ^= 1 << bit % 8
                self.assertIsNotNone(fault_of(bytes(changed)), f"bit {bit}")

    def test_rfc7348_is_asked_of_the_vtep(self):
        for frame, fault in (
            (vxlan(ping(), word=0), "flags"),
            (vxlan(ping(), word=0x0C000000), "flags"),
            (vxlan(ping(), word=0x08000001), "reserved"),
            (vxlan(ping(), last=10 << 8 | 1), "reserved"),
            (vxlan(ping(), source_port=4789), "source port"),
            (vxlan(ping(), ttl=5), "TTL"),
            (vxlan(ping(), flags=0), "DF"),
            (vxlan(ping(), flags=0x2000), "fragment"),
        ):
            self.assertIn(fault, fault_of(frame))

    def test_every_cut_is_found(self):
        for frame in (ping(), vxlan(ping())):
            for length in range(14, len(frame)):
                self.assertIsNotNone(fault_of(frame[:length]), f"cut to {length}")


if __name__ == "__main__":
    unittest.main()
