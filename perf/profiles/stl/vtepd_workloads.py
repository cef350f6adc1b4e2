"""The table of workloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import vtepd_flows as flows
import vtepd_mix as mix
from vtepd_stream import Options, STLStream, introductions

Streams = Callable[[Options], Iterator[STLStream]]


@dataclass(frozen=True)
class Workload:
    """What goes in by the underlay's device and by the access device."""

    underlay: Streams | None = None
    access: Streams | None = None
    # With stations on VLANs, what translates goes in by the other device.
    translates: bool = False
    # What must have been sent before, once.
    after: str | None = None

    def streams(self, options: Options) -> dict[str, list[STLStream]]:
        """By the side where they go in: `underlay`, `access`, or both."""
        sides = {"underlay": self.underlay, "access": self.access}
        if self.translates and options.inside == "vlan":
            sides = {"underlay": self.access, "access": self.underlay}
        return {side: list(make(options)) for side, make in sides.items() if make}


WORKLOADS = {
    # The floor: a box that forwards without looking, such as dpdk-testpmd. Its profile is decap.py.
    "io": Workload(underlay=flows.decap),
    "decap": Workload(underlay=flows.decap),
    "encap": Workload(access=flows.encap),
    "routed": Workload(access=flows.routed),
    "dvr-in": Workload(underlay=flows.dvr_in),
    "snat": Workload(underlay=flows.snat, translates=True),
    "snat-return": Workload(access=flows.snat_return, translates=True, after="snat"),
    "fip": Workload(underlay=flows.fip, translates=True),
    "fip-return": Workload(access=flows.fip_return, translates=True),
    "new-sessions": Workload(underlay=flows.new_sessions, translates=True),
    "flood": Workload(access=flows.flood),
    "mix": Workload(underlay=mix.underlay, access=mix.access, after="mix-sessions"),
    "mix-sessions": Workload(access=mix.shared),
    "introductions": Workload(underlay=lambda options: iter([introductions(options)])),
}
# What a box can be measured with.
MEASURED = [name for name in WORKLOADS if name not in ("introductions", "mix-sessions")]
