"""What TRex's field engine makes of a stream, packet by packet.

Instructions are taken as the client library sends them to a server. Their meaning is that of trex_stl_stream_vm.h:
variables step modulo their range, cores share a variable by stepping as often as there are cores, each from its own
place, and a masked write keeps the other bits. An instruction that is not known here is an error.
"""

import base64
from dataclasses import dataclass
from typing import Any
from collections.abc import Iterator

from trex.stl.api import CTRexVmInsFixHwCs

Json = dict[str, Any]


@dataclass
class Variable:
    """A variable that counts up or down, of one core of several."""

    value: int
    least: int
    size: int
    step: int

    @staticmethod
    def of_core(instruction: Json, core: int, cores: int) -> "Variable":
        if instruction.get("value_list") or instruction.get("next_var") or instruction["op"] not in ("inc", "dec"):
            raise ValueError(f"not known: {instruction}")
        least, size = instruction["min_value"], instruction["max_value"] - instruction["min_value"] + 1
        step = instruction["step"] * (1 if instruction["op"] == "inc" else -1)
        if not instruction["split_to_cores"]:
            core, cores = 0, 1
        offset = (instruction["init_value"] - least + core * step) % size
        return Variable(least + offset, least, size, step * cores)

    def advance(self) -> None:
        self.value = self.least + (self.value - self.least + self.step) % self.size


def packets(stream: Json, count: int, core: int = 0, cores: int = 1) -> Iterator[bytes]:
    """The first packets that a core sends of a stream, given as `STLStream.to_json` says."""
    template = base64.b64decode(stream["packet"]["binary"])
    program: list[Json] = stream["vm"]["instructions"]
    named = {i["name"]: i for i in program if i["type"] == "flow_var"}
    values = {name: Variable.of_core(i, core, cores) for name, i in named.items()}
    rest = [i for i in program if i["type"] != "flow_var"]
    for _ in range(count):
        packet = bytearray(template)
        for instruction in rest:
            run(instruction, packet, {name: (v.value, named[name]["size"]) for name, v in values.items()})
        yield bytes(packet)
        for variable in values.values():
            variable.advance()


def run(instruction: Json, packet: bytearray, values: dict[str, Any]) -> None:
    """One instruction that is no variable."""
    kind = instruction["type"]
    if kind == "write_flow_var":
        value, size = values[instruction["name"]]
        put(packet, instruction, size, value + instruction["add_value"])
    elif kind == "write_mask_flow_var":
        value, _ = values[instruction["name"]]
        value = value + instruction["add_value"] & 0xFFFFFFFF
        shift, size, mask = instruction["shift"], instruction["pkt_cast_size"], instruction["mask"]
        value = value << shift if shift > 0 else value >> -shift
        at = instruction["pkt_offset"]
        before = int.from_bytes(packet[at : at + size], "big")
        put(packet, instruction, size, before & ~mask | value & mask)
    elif kind == "fix_checksum_ipv4":
        fix_ipv4(packet, instruction["pkt_offset"])
    elif kind == "fix_checksum_hw" and instruction["l4_type"] == CTRexVmInsFixHwCs.L4_TYPE_UDP:
        fix_ipv4(packet, instruction["l2_len"])
        fix_udp(packet, instruction["l2_len"], instruction["l2_len"] + instruction["l3_len"])
    else:
        raise ValueError(f"not known: {instruction}")


def put(packet: bytearray, instruction: Json, size: int, value: int) -> None:
    if not instruction["is_big_endian"]:
        raise ValueError(f"not known: {instruction}")
    at = instruction["pkt_offset"]
    if at + size > len(packet):
        raise ValueError(f"beyond the packet: {instruction}")
    packet[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "big")


def ones_complement(data: bytes) -> int:
    """RFC 1071; a last odd byte is followed by a zero."""
    data += bytes(len(data) % 2)
    return -sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)) % 0xFFFF


def fix_ipv4(packet: bytearray, at: int) -> None:
    header = slice(at, at + 4 * (packet[at] & 15))
    packet[at + 10 : at + 12] = bytes(2)
    packet[at + 10 : at + 12] = ones_complement(bytes(packet[header])).to_bytes(2, "big")


def fix_udp(packet: bytearray, l3: int, l4: int) -> None:
    """As a NIC does: over the pseudo header and all that IPv4 says is there."""
    end = l3 + int.from_bytes(packet[l3 + 2 : l3 + 4], "big")
    packet[l4 + 6 : l4 + 8] = bytes(2)
    pseudo = bytes(packet[l3 + 12 : l3 + 20]) + bytes([0, packet[l3 + 9]]) + (end - l4).to_bytes(2, "big")
    # RFC 768: zero stands for none.
    checksum = ones_complement(pseudo + bytes(packet[l4:end])) or 0xFFFF
    packet[l4 + 6 : l4 + 8] = checksum.to_bytes(2, "big")
