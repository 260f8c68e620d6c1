-- What changes on a device by the policies as they are, and is not published: it waits for the server's synchronisation, or for
-- an administrator.
CREATE TABLE unpublished (
    device TEXT NOT NULL REFERENCES devices (id),
    application TEXT NOT NULL,
    noted_at BIGINT NOT NULL,
    PRIMARY KEY (device, application)
);
