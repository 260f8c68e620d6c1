-- Where a collection's files come from, and when it is refreshed by itself. A change that is not an operator's (the next tick,
-- the place of the one that was made by the server) leaves the revision.
ALTER TABLE collections ADD COLUMN source TEXT NOT NULL DEFAULT '{"kind":"none"}';
ALTER TABLE collections ADD COLUMN refresh TEXT;
ALTER TABLE collections ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE collections ADD COLUMN as_made BOOLEAN NOT NULL DEFAULT FALSE;
-- The next tick of refresh.
ALTER TABLE collections ADD COLUMN next_tick BIGINT;
CREATE INDEX collections_due ON collections (next_tick) WHERE next_tick IS NOT NULL;

-- A refresh is a run of a collection: sync is empty then.
ALTER TABLE runs ADD COLUMN collection TEXT;
-- Whom a queued run waits for, as people are told.
ALTER TABLE runs ADD COLUMN waiting_for TEXT;
CREATE INDEX runs_collection ON runs (collection, id) WHERE collection IS NOT NULL;

-- Which things a server makes by itself were made: once, so that what was removed stays removed.
CREATE TABLE made (
    what TEXT PRIMARY KEY,
    at BIGINT NOT NULL
);
