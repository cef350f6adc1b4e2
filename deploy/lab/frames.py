"""What the verifiers of captures read from a frame."""

import ipaddress
import struct

from verify_pcap import ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPES_VLAN, ICMPV6, need


def text(mac):
    return mac.hex(":")


class Frame:
    """An Ethernet frame and the tags it had."""

    def __init__(self, data):
        need(len(data) >= 14, f"frame of {len(data)} bytes")
        self.destination, self.source = text(data[:6]), text(data[6:12])
        self.is_group = bool(data[0] & 1)
        self.vlan, offset = None, 12
        (self.ethertype,) = struct.unpack_from("!H", data, offset)
        while self.ethertype in ETHERTYPES_VLAN:
            tag, self.ethertype = struct.unpack_from("!HH", data, offset + 2)
            self.vlan, offset = tag & 0xFFF, offset + 4
        self.payload = data[offset + 2 :]
        self.ip = None
        if self.ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            self.ip = Ip(self.payload)


class Ip:
    def __init__(self, packet):
        self.version = packet[0] >> 4
        if self.version == 4:
            self.ttl, self.protocol = packet[8], packet[9]
            addresses, header = packet[12:20], (packet[0] & 15) * 4
        else:
            self.protocol, self.ttl = packet[6], packet[7]
            addresses, header = packet[8:40], 40
            if self.protocol == 0:  # hop-by-hop options, as listener reports have them
                self.protocol, header = packet[40], 40 + (packet[41] + 1) * 8
        half = len(addresses) // 2
        self.source, self.destination = (ipaddress.ip_address(addresses[i : i + half]) for i in (0, half))
        later = self.version == 4 and int.from_bytes(packet[6:8], "big") & 0x1FFF
        self.payload = b"" if later else packet[header:]  # a later fragment does not begin with a header

    def is_icmp_error(self):
        errors = {1: (3, 4, 5, 11, 12), ICMPV6: (1, 2, 3, 4)}.get(self.protocol, ())
        return bool(self.payload) and self.payload[0] in errors

    def quoted(self):
        """The packet that an ICMP error is about, or None."""
        return Ip(self.payload[8:]) if self.is_icmp_error() and len(self.payload) >= 28 else None

    def icmpv6(self):
        return self.payload[0] if self.version == 6 and self.protocol == ICMPV6 and self.payload else None
