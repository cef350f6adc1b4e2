"""Answers to snat, where ports were kept: by a single worker, after all of snat has been sent."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("snat-return")
