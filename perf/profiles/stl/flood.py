"""Broadcasts of 1024 stations; each packet comes out once for every VTEP."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("flood")
