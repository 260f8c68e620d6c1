-- Which policies, in which versions, the version of what a device should hold stands on: a digest. NULL: not known.
ALTER TABLE deliveries ADD COLUMN basis TEXT;

-- Why a forced synchronisation of the server did not go well.
ALTER TABLE sync_operations ADD COLUMN failure TEXT;

-- Since when something of a user fails; of no meaning where nothing does.
ALTER TABLE users ADD COLUMN failed_at BIGINT;

-- Whether an operation waits for anyone is asked with each device that ends.
CREATE INDEX sync_operation_devices_waiting ON sync_operation_devices (operation)
    WHERE outcome IN ('woken', 'deferred');
