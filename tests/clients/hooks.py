"""What schemathesis cannot know from /openapi.json; `schemathesis.toml` names this file."""

import uuid

import schemathesis
from hypothesis import strategies as st

# Of the accepted forms, those with a checksum cannot be made up by a pattern.
schemathesis.openapi.format(
    "chitty-id",
    st.sampled_from(
        [
            "03-1-USA-0001-P-2611-0-92",
            "03-1-USA-9002-T-2602-0-81",
            "did:chitty:03-1-USA-0001-P-2611-0-92",
            "CHITTY-PEO-nobody",
        ]
    ),
)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Gives each request a key of its own, where it has one that could be: one is good for one request."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) < 256 and all("!" <= char <= "~" for char in key):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
