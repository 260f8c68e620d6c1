// Takes what a server gives to an OpAMP client that nobody here wrote: each document becomes a file NAME.json in a folder.
// A document with a member `refuse` is one that this agent cannot apply.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const {
    AgentCapabilities,
    RemoteConfigStatuses,
    createOpAMPClient,
} = require('@elastic/opamp-client-node');

const [endpoint, token, folder] = process.argv.slice(2);

function apply(documents) {
    const wanted = Object.keys(documents).map((name) => `${name}.json`);
    for (const [name, { body }] of Object.entries(documents)) {
        const text = Buffer.from(body).toString();
        if (JSON.parse(text).refuse) {
            throw new Error(`${name}: refused as its document asks`);
        }
        fs.writeFileSync(path.join(folder, `${name}.json`), text);
    }
    for (const file of fs.readdirSync(folder).filter((file) => !wanted.includes(file))) {
        fs.unlinkSync(path.join(folder, file));
    }
}

const client = createOpAMPClient({
    endpoint,
    headers: { Authorization: `Bearer ${token}` },
    heartbeatIntervalSeconds: 0.2,
    capabilities:
        AgentCapabilities.AgentCapabilities_AcceptsRemoteConfig |
        AgentCapabilities.AgentCapabilities_ReportsRemoteConfig,
    onMessage: ({ remoteConfig }) => {
        if (!remoteConfig) {
            return;
        }
        let status = RemoteConfigStatuses.RemoteConfigStatuses_APPLIED;
        let errorMessage = '';
        try {
            apply(remoteConfig.config.configMap);
        } catch (error) {
            status = RemoteConfigStatuses.RemoteConfigStatuses_FAILED;
            errorMessage = error.message;
        }
        client.setRemoteConfigStatus({ status, errorMessage, lastRemoteConfigHash: remoteConfig.configHash });
    },
});
client.setAgentDescription({
    identifyingAttributes: { 'service.name': 'node-agent', 'service.version': '1.2.3' },
    nonIdentifyingAttributes: { 'os.type': 'linux', 'host.name': 'node-host' },
});
client.start();
// The client alone keeps no process alive.
setInterval(() => {}, 60_000);
