"""Everything at once, both ways: on an even port what stations send, on an odd one what comes from elsewhere."""

from vtepd_profile import Profile


def register() -> Profile:
    return Profile("mix")
