"""Names for clouds: what a member's job, node or JobSet is called."""

import re

from launch.launching import Launch
from launch.members import Member, slug
from toto_jax.errors import ConfigError

# Kubernetes takes 63, of which JobSet needs some for the pods' names.
LONGEST = 40
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def cloud_name(launch: Launch, member: Member) -> str:
    """Returns `<launch>-<8 digits of the config's digest>`; a run alone has its digits in the launch's name already.

    Raises:
      ConfigError: if clouds don't take it (RFC 1123, starting with a letter, at most 40 characters), with a name that
        they would.
    """
    digits = f"-{member.digest[:8]}"
    alone = member.folder == "." and launch.name == member.name
    name = launch.name if alone else launch.name + digits
    if _NAME.fullmatch(name) and len(name) <= LONGEST:
        return name
    own = launch.name.removesuffix(digits)
    better = re.sub(r"^(?=[^a-z])", "toto-", slug(own))[: LONGEST - len(digits)].rstrip("-") or "toto"
    raise ConfigError(
        f"The name {name!r} has {len(name)} characters; it may have {LONGEST}: small letters, digits and dashes, the "
        f"first a letter. --name={better} would do"
    )
