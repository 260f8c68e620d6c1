"""Takes what a server gives to an OpAMP client that nobody here wrote: each document becomes a file NAME.json in a folder.

A document with a member `refuse` is one that this agent cannot apply.
"""

import json
import sys
import threading
from pathlib import Path

from opentelemetry._opamp.agent import OpAMPAgent
from opentelemetry._opamp.callbacks import OpAMPCallbacks
from opentelemetry._opamp.client import OpAMPClient
from opentelemetry._opamp.proto import opamp_pb2

endpoint, token, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])


def apply(documents):
    for name, document in documents.items():
        if document.get("refuse"):
            raise ValueError(f"{name}: refused as its document asks")
        (folder / f"{name}.json").write_text(json.dumps(document))
    for file in folder.iterdir():
        if file.stem not in documents:
            file.unlink()


class Callbacks(OpAMPCallbacks):
    def on_message(self, agent, client, message):
        if message.remote_config is None:
            return
        status, error = opamp_pb2.RemoteConfigStatuses_APPLIED, ""
        try:
            documents = dict(client.decode_remote_config(message.remote_config))
            apply(documents)
            client.update_effective_config(documents, "application/json")
        except Exception as caught:
            status, error = opamp_pb2.RemoteConfigStatuses_FAILED, str(caught)
        changed = client.update_remote_config_status(message.remote_config.config_hash, status, error)
        if changed:
            agent.send(client.build_remote_config_status_response_message(changed))


client = OpAMPClient(
    endpoint=endpoint,
    headers={"Authorization": f"Bearer {token}"},
    # The default is a second, which a machine that is busy with tests can need.
    timeout_millis=10_000,
    agent_identifying_attributes={"service.name": "python-agent", "service.version": "1.2.3"},
    agent_non_identifying_attributes={"os.type": "linux", "host.name": "python-host"},
)
OpAMPAgent(interval=0.2, callbacks=Callbacks(), client=client).start()
threading.Event().wait()
