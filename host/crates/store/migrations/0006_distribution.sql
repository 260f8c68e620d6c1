-- Distribution servers: what operators know of stores that are kept up to date, what is left for later at each, and schedules
-- that were asked to run at once. Words as in 0001.

CREATE TABLE distribution_servers (
    name TEXT PRIMARY KEY,
    store TEXT NOT NULL UNIQUE REFERENCES stores (name),
    spec TEXT NOT NULL,
    -- The store was registered with the server, and goes with it.
    brought_store BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

-- The schedule that a sync was made for, with the components and servers that it was made of.
ALTER TABLE syncs ADD COLUMN made_by TEXT;

-- The targets that a run is for, where it is not for all.
ALTER TABLE runs ADD COLUMN only_targets TEXT;

-- What a run left of a server: it was away, or its window was closed. A run of its own does that when the time has come.
CREATE TABLE backlog (
    sync TEXT NOT NULL REFERENCES syncs (name) ON DELETE CASCADE,
    store TEXT NOT NULL REFERENCES stores (name) ON DELETE CASCADE,
    since BIGINT NOT NULL,
    -- How often it was left, without what was left since.
    times BIGINT NOT NULL,
    next_try BIGINT NOT NULL,
    reason TEXT NOT NULL,
    run TEXT NOT NULL,
    PRIMARY KEY (sync, store)
);
CREATE INDEX backlog_next_try ON backlog (next_try);

CREATE TABLE run_now (
    id TEXT PRIMARY KEY,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    entries TEXT NOT NULL
);
CREATE INDEX run_now_created_at ON run_now (created_at);
