"""VXLAN of 16 networks from 16 VTEPs, to stations of the access port."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("decap")
