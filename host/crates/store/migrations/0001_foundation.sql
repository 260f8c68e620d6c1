-- One text for SQLite and PostgreSQL: BIGINT, TEXT, BOOLEAN and BYTEA mean the same on both as we bind them.
-- Times are microseconds since 1970 in UTC. Ids are UUIDs as text. What is only ever read whole is JSON in TEXT.

-- The place of the newest event. Every transaction that writes events changes this row last and holds it until it
-- commits, so numbers have no gaps and follow the order of commits.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('event', 0);

CREATE TABLE events (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    node TEXT NOT NULL,
    kind TEXT NOT NULL,
    level BIGINT NOT NULL,
    message TEXT NOT NULL,
    actor TEXT NOT NULL,
    run TEXT,
    sync TEXT,
    store TEXT,
    plugin TEXT,
    data TEXT
);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_run ON events (run, seq) WHERE run IS NOT NULL;
CREATE INDEX events_sync ON events (sync, seq) WHERE sync IS NOT NULL;
CREATE INDEX events_store ON events (store, seq) WHERE store IS NOT NULL;
CREATE INDEX events_plugin ON events (plugin, seq) WHERE plugin IS NOT NULL;

CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    last_seen BIGINT NOT NULL
);

CREATE TABLE plugins (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    world TEXT NOT NULL,
    manifest TEXT NOT NULL,
    wants TEXT NOT NULL,
    imports TEXT NOT NULL,
    grants TEXT,
    state TEXT NOT NULL,
    suspended TEXT,
    strikes BIGINT NOT NULL,
    limits TEXT NOT NULL,
    size BIGINT NOT NULL,
    installed_at BIGINT NOT NULL,
    installed_by TEXT NOT NULL
);
CREATE INDEX plugins_name ON plugins (name);
CREATE UNIQUE INDEX plugins_one_enabled ON plugins (name) WHERE state = 'enabled';

CREATE TABLE packages (
    digest TEXT PRIMARY KEY REFERENCES plugins (digest) ON DELETE CASCADE,
    body BYTEA NOT NULL
);

-- Which version of a plugin was enabled last, and which before it: the way back.
CREATE TABLE plugin_versions_enabled (
    name TEXT PRIMARY KEY,
    latest TEXT REFERENCES plugins (digest) ON DELETE SET NULL,
    previous TEXT REFERENCES plugins (digest) ON DELETE SET NULL
);

CREATE TABLE stores (
    name TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    shared BOOLEAN NOT NULL,
    node TEXT NOT NULL,
    labels TEXT NOT NULL,
    description TEXT NOT NULL,
    bytes_per_second BIGINT,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE collections (
    name TEXT PRIMARY KEY,
    store TEXT NOT NULL REFERENCES stores (name),
    prefix BYTEA NOT NULL,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

-- What is known of the files of one folder of a store: one value a folder, encoded by whoever saves it.
CREATE TABLE digests (
    store TEXT NOT NULL REFERENCES stores (name) ON DELETE CASCADE,
    folder BYTEA NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (store, folder)
);

CREATE TABLE syncs (
    name TEXT PRIMARY KEY,
    plugin TEXT NOT NULL,
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX syncs_plugin ON syncs (plugin);

CREATE TABLE cursors (
    sync TEXT PRIMARY KEY REFERENCES syncs (name) ON DELETE CASCADE,
    body BYTEA NOT NULL,
    updated_at BIGINT NOT NULL
);

-- A run outlives its sync and its schedule: both are named, not referenced.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    sync TEXT NOT NULL,
    mode TEXT NOT NULL,
    origin TEXT NOT NULL,
    actor TEXT NOT NULL,
    schedule TEXT,
    nominal_time BIGINT,
    retry_of TEXT,
    anew BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    attempt BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    -- Attempts that do not count against max_attempts: after an approval, or because the node went away.
    uncounted BIGINT NOT NULL,
    -- How many of these ended because the node went away.
    losses BIGINT NOT NULL,
    node TEXT,
    bound_to TEXT,
    -- Rises with each claim. Whoever writes with an older one has lost the run.
    fencing BIGINT NOT NULL,
    -- By the database's clock.
    lease_until BIGINT,
    created_at BIGINT NOT NULL,
    not_before BIGINT,
    started_at BIGINT,
    finished_at BIGINT,
    counts TEXT NOT NULL,
    targets TEXT NOT NULL,
    progress TEXT NOT NULL,
    sizes TEXT NOT NULL,
    excesses TEXT NOT NULL,
    approval TEXT,
    failure TEXT,
    plugin_digest TEXT
);
CREATE INDEX runs_queue ON runs (created_at, id) WHERE state = 'queued';
CREATE INDEX runs_leased ON runs (lease_until) WHERE state IN ('claimed', 'running', 'cancelling');
CREATE INDEX runs_unfinished ON runs (sync)
    WHERE state IN ('queued', 'claimed', 'running', 'held', 'cancelling');
CREATE INDEX runs_sync ON runs (sync, id);
CREATE INDEX runs_schedule ON runs (schedule, id) WHERE schedule IS NOT NULL;
CREATE INDEX runs_state ON runs (state, id);

-- What a run reads (shared) and writes (exclusive): wanted while it is queued, held while a node has it.
CREATE TABLE run_locks (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    resource TEXT NOT NULL,
    exclusive BOOLEAN NOT NULL,
    held BOOLEAN NOT NULL,
    PRIMARY KEY (run, resource)
);
CREATE INDEX run_locks_held ON run_locks (resource) WHERE held;

CREATE TABLE run_attempts (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    node TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    state TEXT NOT NULL,
    failure TEXT,
    PRIMARY KEY (run, attempt)
);

-- Chunks of JSON lines, compressed with zstd. The columns beside the body tell which chunks a filter can pass over.
CREATE TABLE run_operations (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    chunk BIGINT NOT NULL,
    -- Names of its targets, each between spaces.
    targets TEXT NOT NULL,
    planned BIGINT NOT NULL,
    done BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (run, chunk)
);

CREATE TABLE run_log (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    chunk BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (run, chunk)
);

CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    sync TEXT NOT NULL REFERENCES syncs (name),
    spec TEXT NOT NULL,
    paused BOOLEAN NOT NULL,
    -- The node that fires it; any node if absent.
    node TEXT,
    created_at BIGINT NOT NULL,
    next_nominal BIGINT,
    next_run BIGINT,
    last_nominal BIGINT,
    revision BIGINT NOT NULL
);
CREATE INDEX schedules_due ON schedules (next_run) WHERE NOT paused;
CREATE INDEX schedules_sync ON schedules (sync);

-- A tick that is written here cannot fire again.
CREATE TABLE ticks (
    schedule TEXT NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    nominal BIGINT NOT NULL,
    run TEXT NOT NULL,
    PRIMARY KEY (schedule, nominal)
);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    -- SHA-256 of the token, in hexadecimal.
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    key_id TEXT NOT NULL,
    -- XChaCha20-Poly1305: 24 bytes of nonce, then the ciphertext with its tag.
    body BYTEA NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE requests (
    request_key TEXT NOT NULL,
    actor TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    status BIGINT NOT NULL,
    body TEXT NOT NULL,
    location TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (request_key, actor)
);
CREATE INDEX requests_created_at ON requests (created_at);
