"""What Pktgen's range engine makes of a script, header by header.

The script runs in a Lua of its own, where `pktgen` takes down what is called. Fields step with every packet and go
back to their least value after the greatest (pktgen-range.c).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from unittest import mock

from lupa.lua54 import LuaRuntime

Header = dict[str, int]


def number(value: Any) -> int:
    """As Pktgen reads it: a MAC, an address or a number."""
    if isinstance(value, str):
        return int(value.replace(":", ""), 16) if ":" in value else int(IPv4Address(value))
    return int(value)


@dataclass
class Pktgen:
    """What a script has set."""

    fields: dict[str, dict[str, int]] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def install(self, lua: LuaRuntime) -> None:
        def ranged(name: str) -> Any:
            return lambda _port, key, value: self.fields.setdefault(name, {}).update({key: number(value)})

        def call(name: str) -> Any:
            return lambda *given: self.calls.append((name, *given))

        names = "dst_mac src_mac vlan_id src_ip dst_ip src_port dst_port ttl pkt_size".split()
        table = {name: call(name) for name in ("vlan", "set_range", "set", "clr", "start", "delay", "stop")}
        table["range"] = lua.table_from({name: ranged(name) for name in names} | {"ip_proto": call("ip_proto")})
        table["portStats"] = lambda *_: lua.table_from({})
        table["portCount"] = lambda: 0
        lua.globals().pktgen = lua.table_from(table)

    def headers(self, count: int) -> Iterator[Header]:
        header = {name: steps["start"] for name, steps in self.fields.items()}
        for _ in range(count):
            yield dict(header)
            for name, steps in self.fields.items():
                header[name] += steps["inc"]
                if header[name] > steps["max"]:
                    header[name] = steps["min"]


def run(script: Path, **variables: str) -> Pktgen:
    """Runs a script with environment variables."""
    pktgen, lua = Pktgen(), LuaRuntime()
    pktgen.install(lua)
    with mock.patch.dict(os.environ, variables):
        lua.execute(script.read_text())
    return pktgen


def header_of(frame: bytes) -> Header:
    """The same fields of a tagged frame."""
    at = {
        "dst_mac": (0, 6),
        "src_mac": (6, 12),
        "vlan_id": (14, 16),
        "src_ip": (30, 34),
        "dst_ip": (34, 38),
        "src_port": (38, 40),
        "dst_port": (40, 42),
        "ttl": (26, 27),
    }
    fields = {name: int.from_bytes(frame[begin:end], "big") for name, (begin, end) in at.items()}
    return fields | {"pkt_size": len(frame) + 4}
