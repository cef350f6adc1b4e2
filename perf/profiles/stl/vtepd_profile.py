"""What TRex loads: a profile for each workload, with tunables.

start -f stl/decap.py -p 0 -m 5mpps -t --flows 100k --uplink-mac 3c:fd:fe:00:00:01
"""

from __future__ import annotations

import argparse
from typing import Any

from vtepd_stream import IMIX, LEAST, UPLINK_MAC, Options, Size, STLStream
from vtepd_workloads import WORKLOADS


def size(text: str) -> int:
    """A number; k and M are understood."""
    units = {"k": 1000, "M": 1_000_000}
    digits, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    return int(digits) * unit


def frame_size(text: str) -> tuple[Size, ...]:
    """Bytes, or the mix."""
    if text == "imix":
        return IMIX
    if not LEAST <= int(text) <= 9000:
        raise ValueError(text)
    return (Size(int(text), 1),)


def add_tunables(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--flows", type=size, default=1000, help="MACs, neighbours, sessions or floating IPs; k and M are understood")
    add("--routers", type=int, default=1, help="of routed and dvr-in")
    add("--vteps", type=int, default=16, choices=(16, 128), help="of flood and introductions")
    add("--inside", choices=("vxlan", "vlan"), default="vxlan", help="where stations are, of what translates")
    add("--size", type=frame_size, default="64", help="bytes of an inner frame, or imix: 64, 576 and 1328 as 7:4:1")
    add("--seed", type=int, default=1, help="of the order")
    add(
        "--checksum",
        choices=("hw", "none"),
        default="hw",
        help="the inner UDP checksum: by the NIC, or none where it cannot that deep in a packet",
    )
    add("--uplink-mac", default=UPLINK_MAC, help="of vtepd's underlay device")


def options_of(arguments: argparse.Namespace) -> Options:
    given = vars(arguments)
    return Options(**{name: given[name] for name in Options.__dataclass_fields__ if name in given})


class Profile:
    """One workload."""

    def __init__(self, workload: str) -> None:
        self.workload = workload

    def get_streams(self, direction: int, tunables: list[str], **_: Any) -> list[STLStream]:
        """`direction` tells what goes both ways apart: 0, even ports, are wired to the access device."""
        formatter = argparse.ArgumentDefaultsHelpFormatter
        parser = argparse.ArgumentParser(prog=self.workload, formatter_class=formatter)
        add_tunables(parser)
        sides = WORKLOADS[self.workload].streams(options_of(parser.parse_args(tunables)))
        if len(sides) == 1:
            return next(iter(sides.values()))
        return sides["underlay" if direction else "access"]
