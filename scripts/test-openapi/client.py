"""Places a call with the client that openapi-python-client makes from openapi.json.

KROS_URL and KROS_TOKEN name the platform.
"""

import os

from python import AuthenticatedClient
from python.api.calls import create_call, hang_up_call, read_call
from python.models import AcceptedCall, CallDetails, CreateCallRequest, CreateCallRequestMetadata, Problem

client = AuthenticatedClient(base_url=os.environ["KROS_URL"], token=os.environ["KROS_TOKEN"])


def place() -> str:
    metadata = CreateCallRequestMetadata.from_dict({"client": "openapi-python-client"})
    body = CreateCallRequest(phone_number="+14155550100", metadata=metadata)
    call = create_call.sync(client=client, body=body, idempotency_key="test-openapi-python")
    assert isinstance(call, AcceptedCall), call
    return call.call_id


call_id = place()
assert place() == call_id, "the repetition has placed another call"

call = read_call.sync(call_id, client=client)
assert isinstance(call, CallDetails) and call.metadata["client"] == "openapi-python-client", call
hang_up_call.sync(call_id, client=client)

unknown = read_call.sync("call_00000000000000000000000000", client=client)
assert isinstance(unknown, Problem) and unknown.code == "NOT_FOUND", unknown
print(f"openapi-python-client placed {call_id} ({call.status}) and hung it up")
