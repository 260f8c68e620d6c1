-- Directories: where they are, what was read from them, and which users go by it.

-- What a directory gives a user; and names and e-mails as they are compared, in lower case.
ALTER TABLE users ADD COLUMN email TEXT;
ALTER TABLE users ADD COLUMN disabled BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN origins TEXT NOT NULL DEFAULT '{}';
ALTER TABLE users ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN email_key TEXT;
UPDATE users SET name_key = lower(name);
-- Named after what is looked for: PostgreSQL calls the index of a unique column users_name_key by itself.
CREATE INDEX users_by_name ON users (name_key);
CREATE INDEX users_by_email ON users (email_key) WHERE email_key IS NOT NULL;

CREATE TABLE directory_sources (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE directory_entries (
    id TEXT PRIMARY KEY,
    sync TEXT NOT NULL REFERENCES syncs (name) ON DELETE CASCADE,
    -- What it is known by in the directory.
    entry TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The name as it is looked for: the engines' own lower() differ in what they know beyond ASCII.
    name_folded TEXT NOT NULL,
    aliases TEXT NOT NULL,
    -- The unit that it sits in, and the key of that reference.
    parent TEXT,
    parent_key TEXT,
    enabled BOOLEAN NOT NULL,
    attributes TEXT NOT NULL,
    -- BLAKE3 of all that was declared of it.
    digest TEXT NOT NULL,
    -- People: what a user takes over; and as it is compared.
    person TEXT,
    name_key TEXT,
    email_key TEXT,
    -- Groups: what the list of members comes to that is stored; NULL: not known.
    members TEXT,
    state TEXT NOT NULL,
    -- An operator let its user go: no run links it again.
    by_hand BOOLEAN NOT NULL DEFAULT FALSE,
    user_id TEXT REFERENCES users (id) ON DELETE SET NULL,
    device TEXT REFERENCES devices (id) ON DELETE SET NULL,
    held TEXT,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    gone_at BIGINT,
    revision BIGINT NOT NULL,
    UNIQUE (sync, entry)
);
CREATE INDEX directory_entries_state ON directory_entries (state, id);
CREATE INDEX directory_entries_waiting ON directory_entries (sync, entry)
    WHERE kind = 'person' AND state = 'unlinked' AND NOT by_hand;
CREATE INDEX directory_entries_gone ON directory_entries (sync, gone_at) WHERE gone_at IS NOT NULL;
CREATE INDEX directory_entries_held ON directory_entries (sync) WHERE held IS NOT NULL;
CREATE INDEX directory_entries_name_key ON directory_entries (name_key) WHERE name_key IS NOT NULL;
CREATE INDEX directory_entries_email_key ON directory_entries (email_key) WHERE email_key IS NOT NULL;
CREATE UNIQUE INDEX directory_entries_user ON directory_entries (user_id) WHERE user_id IS NOT NULL;

-- What entries are called by others: the key of the reference, since aliases can be longer than an index takes.
CREATE TABLE directory_aliases (
    sync TEXT NOT NULL REFERENCES syncs (name) ON DELETE CASCADE,
    key TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (sync, key)
);
CREATE INDEX directory_aliases_entry ON directory_aliases (sync, entry);

-- Direct members. member is NULL where nothing is found for the reference; it is looked for in later runs.
CREATE TABLE directory_memberships (
    sync TEXT NOT NULL REFERENCES syncs (name) ON DELETE CASCADE,
    group_entry TEXT NOT NULL,
    key TEXT NOT NULL,
    reference TEXT NOT NULL,
    member TEXT,
    PRIMARY KEY (sync, group_entry, key)
);
CREATE INDEX directory_memberships_member ON directory_memberships (sync, member) WHERE member IS NOT NULL;
CREATE INDEX directory_memberships_waiting ON directory_memberships (sync, key) WHERE member IS NULL;

-- What was read and could not be taken over; listed in every run until it can.
CREATE TABLE directory_rejections (
    sync TEXT NOT NULL REFERENCES syncs (name) ON DELETE CASCADE,
    -- The entry, or the name where not even that could be read.
    key TEXT NOT NULL,
    entry TEXT,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (sync, key)
);

-- What an import was set to do when a run last wrote: with other rules all users are looked at anew.
CREATE TABLE directory_imports (
    sync TEXT PRIMARY KEY REFERENCES syncs (name) ON DELETE CASCADE,
    spec TEXT NOT NULL
);
