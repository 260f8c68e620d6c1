-- How many entries were there and how many memberships, when a run last wrote: to count them takes as long as the directory is
-- large. NULL: not known. Nothing but runs changes either.
ALTER TABLE directory_imports ADD COLUMN present BIGINT;
ALTER TABLE directory_imports ADD COLUMN members BIGINT;
