-- The collections that an event is about: names, each between spaces. NULL: none.
ALTER TABLE events ADD COLUMN collections TEXT;
CREATE INDEX events_node ON events (node, seq);
CREATE INDEX events_actor ON events (actor, seq);

-- What a run that repairs is for: JSON. NULL: all that its sync declares.
ALTER TABLE runs ADD COLUMN repair TEXT;
