-- Devices: the tree they sit in, how they get in, what they should hold, and what became of it. The rules of the first
-- migration hold: one text for both engines, times in microseconds, ids as text, JSON for what is only read whole.

ALTER TABLE events ADD COLUMN device TEXT;
CREATE INDEX events_device ON events (device, seq) WHERE device IS NOT NULL;

-- Whatever sits in a group names it by path. A move changes the path wherever it stands, in one transaction.
CREATE TABLE device_groups (
    path TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    -- Key sets of the users in it.
    key_sets TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
INSERT INTO device_groups (path, description, key_sets, created_at, revision) VALUES ('/', '', '{}', 0, 1);

CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    group_path TEXT NOT NULL,
    facts TEXT NOT NULL,
    abilities TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    enrolled_at BIGINT,
    last_contact BIGINT,
    next_contact BIGINT,
    silent_after BIGINT,
    last_periodic_sync BIGINT,
    last_forced_sync BIGINT,
    instance_uid TEXT,
    sequence BIGINT NOT NULL,
    -- Row of the table of colours. Silence is not in it: that comes by time alone, and is compared when asked for.
    status TEXT NOT NULL,
    status_since BIGINT NOT NULL,
    -- The token that it is enrolling with, until its own credential is accepted.
    enrolling_with TEXT,
    revision BIGINT NOT NULL
);
CREATE INDEX devices_group ON devices (group_path, id);
CREATE INDEX devices_status ON devices (status, id);
CREATE INDEX devices_silent_after ON devices (silent_after);
-- The same process that comes twice at once is one device.
CREATE UNIQUE INDEX devices_enrolling ON devices (enrolling_with, instance_uid) WHERE enrolling_with IS NOT NULL;

CREATE TABLE enrolment_tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- SHA-256 of the token, in hexadecimal.
    hash TEXT NOT NULL UNIQUE,
    -- One of these two.
    group_path TEXT,
    device TEXT REFERENCES devices (id),
    single_use BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    uses BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE TABLE device_credentials (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    device TEXT NOT NULL REFERENCES devices (id),
    state TEXT NOT NULL,
    lasting BOOLEAN NOT NULL,
    token TEXT REFERENCES enrolment_tokens (id),
    created_at BIGINT NOT NULL,
    first_used_at BIGINT
);
CREATE INDEX device_credentials_device ON device_credentials (device, id);
CREATE UNIQUE INDEX device_credentials_one_current ON device_credentials (device) WHERE state = 'current';

CREATE TABLE applications (
    name TEXT PRIMARY KEY,
    plugin TEXT NOT NULL,
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE selections (
    name TEXT PRIMARY KEY,
    condition TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE policies (
    id TEXT PRIMARY KEY,
    application TEXT NOT NULL REFERENCES applications (name),
    place TEXT NOT NULL,
    -- Path of the group, name of the selection or id of the device.
    at_place TEXT NOT NULL,
    priority BIGINT NOT NULL,
    settings TEXT NOT NULL,
    locks TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX policies_application ON policies (application, id);
CREATE INDEX policies_place ON policies (place, at_place);

CREATE TABLE policy_versions (
    policy TEXT NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    spec TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    restored_from BIGINT,
    PRIMARY KEY (policy, version)
);

-- Bodies by the BLAKE3 of their bytes.
CREATE TABLE documents (
    digest TEXT PRIMARY KEY,
    content_type TEXT NOT NULL,
    body BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- wanted is NULL where the application is withdrawn.
CREATE TABLE deliveries (
    device TEXT NOT NULL REFERENCES devices (id),
    application TEXT NOT NULL,
    wanted TEXT,
    wanted_version BIGINT NOT NULL,
    held TEXT,
    held_version BIGINT,
    state TEXT NOT NULL,
    since BIGINT NOT NULL,
    offers BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    deadline BIGINT,
    delivered_at BIGINT,
    error TEXT,
    PRIMARY KEY (device, application)
);
CREATE INDEX deliveries_deadline ON deliveries (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX deliveries_state ON deliveries (application, state);
CREATE INDEX deliveries_wanted ON deliveries (wanted) WHERE wanted IS NOT NULL;

-- What a run of device policies publishes; without a row, everything.
CREATE TABLE publications (
    run TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    what TEXT NOT NULL
);

-- Why an application could not be resolved for a device: what it holds stays in force meanwhile.
CREATE TABLE resolve_failures (
    device TEXT NOT NULL REFERENCES devices (id),
    application TEXT NOT NULL,
    failure TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (device, application)
);

-- One row a group commit: append-only, and folded into the device rows later.
CREATE TABLE presence_log (
    node TEXT NOT NULL,
    seq BIGINT NOT NULL,
    contacts BYTEA NOT NULL,
    PRIMARY KEY (node, seq)
);

CREATE TABLE sync_operations (
    id TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
    -- The same for the same scope: a repeat while one is under way finds it.
    scope_key TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE UNIQUE INDEX sync_operations_under_way ON sync_operations (scope_key) WHERE finished_at IS NULL;

CREATE TABLE sync_operation_devices (
    operation TEXT NOT NULL REFERENCES sync_operations (id) ON DELETE CASCADE,
    device TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    at BIGINT NOT NULL,
    PRIMARY KEY (operation, device)
);
CREATE INDEX sync_operation_devices_open ON sync_operation_devices (device)
    WHERE outcome IN ('woken', 'deferred');

CREATE TABLE messages (
    id TEXT NOT NULL,
    device TEXT NOT NULL REFERENCES devices (id),
    direction TEXT NOT NULL,
    kind TEXT NOT NULL,
    summary TEXT NOT NULL,
    details TEXT NOT NULL,
    at BIGINT NOT NULL,
    expires_at BIGINT,
    outcome TEXT NOT NULL,
    outcome_at BIGINT NOT NULL,
    -- A device chooses the ids of its own messages: they tell its messages apart, and no others.
    PRIMARY KEY (device, id)
);
CREATE INDEX messages_at ON messages (device, at, id);
CREATE INDEX messages_waiting ON messages (expires_at) WHERE outcome = 'waiting';

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    group_path TEXT NOT NULL,
    key_sets TEXT NOT NULL,
    subscription TEXT,
    issued_at BIGINT,
    subscription_expires_at BIGINT,
    device TEXT REFERENCES devices (id),
    activated_at BIGINT,
    changed_at BIGINT NOT NULL,
    server_synced_at BIGINT,
    device_synced_at BIGINT,
    failure TEXT,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX users_group ON users (group_path, id);
CREATE INDEX users_device ON users (device) WHERE device IS NOT NULL;

CREATE TABLE activation_codes (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX activation_codes_user ON activation_codes (user_id);

CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    action TEXT NOT NULL,
    parameters TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

CREATE TABLE device_tasks (
    task TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    device TEXT NOT NULL REFERENCES devices (id),
    state TEXT NOT NULL,
    outcome TEXT,
    at BIGINT NOT NULL,
    PRIMARY KEY (task, device)
);
CREATE INDEX device_tasks_open ON device_tasks (device, task) WHERE state IN ('waiting', 'sent');
