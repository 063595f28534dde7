"""What a campaign asks for, as a digest: the same wherever and with whatever it is computed."""

from __future__ import annotations

import hashlib
import json

from campaigns.screen_spec import ScreenSpec


def digest_of(spec: ScreenSpec) -> str:
    """Return the SHA-256 of what a campaign asks for, wherever and with whatever it is computed."""
    asked = {name: value for name, value in spec.as_data().items() if name not in ("compute", "budget")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
