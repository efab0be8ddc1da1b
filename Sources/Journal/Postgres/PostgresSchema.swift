// The schema in Postgres, step by step. A step that was released never changes: what follows is a new step.

/// The steps of the schema; the version of a database is the number of steps it has taken.
enum PostgresSchema {
    /// The version that this program reads and writes.
    static var version: Int { steps.count }

    static let steps: [String] = [
        """
        CREATE TABLE node_lease(
            incarnation uuid PRIMARY KEY,
            name text NOT NULL,
            address text NOT NULL,
            weight double precision NOT NULL,
            started timestamptz NOT NULL,
            expires timestamptz NOT NULL,
            dead boolean NOT NULL DEFAULT false,
            draining boolean NOT NULL DEFAULT false
        ) WITH (fillfactor = 50);

        -- Room for updates in place: every claim and hand-off rewrites its row.
        CREATE TABLE slot_lease(
            slot integer PRIMARY KEY,
            epoch bigint NOT NULL,
            owner uuid
        ) WITH (fillfactor = 50);
        INSERT INTO slot_lease SELECT slot, 0, NULL FROM generate_series(0, 4095) AS slot;

        CREATE TABLE placement(version bigint NOT NULL);
        INSERT INTO placement VALUES(0);
        CREATE TABLE pin(slot integer PRIMARY KEY, node text NOT NULL);

        -- One row per slot and flush. `campaigns` is their ids, 16 bytes each; the votes are packed in `payload`.
        CREATE TABLE journal(
            slot integer NOT NULL,
            lsn bigint NOT NULL,
            epoch bigint NOT NULL,
            flush uuid NOT NULL,
            count integer NOT NULL,
            campaigns bytea NOT NULL,
            payload bytea NOT NULL,
            checksum bigint NOT NULL,
            stored_at timestamptz NOT NULL,
            PRIMARY KEY(slot, lsn)
        );
        ALTER TABLE journal ALTER COLUMN payload SET STORAGE EXTERNAL;

        -- Rows that a repair set aside.
        CREATE TABLE journal_quarantine(
            moved_at timestamptz NOT NULL,
            slot integer NOT NULL,
            lsn bigint NOT NULL,
            epoch bigint NOT NULL,
            flush uuid NOT NULL,
            count integer NOT NULL,
            campaigns bytea NOT NULL,
            payload bytea NOT NULL,
            checksum bigint NOT NULL,
            stored_at timestamptz NOT NULL
        );

        -- `ordinal` counts a campaign's snapshots: the first one proves that its rows begin with its creation.
        CREATE TABLE snapshot(
            campaign uuid NOT NULL,
            slot integer NOT NULL,
            lsn bigint NOT NULL,
            epoch bigint NOT NULL,
            format integer NOT NULL,
            ordinal integer NOT NULL,
            wake_at timestamptz,
            voters boolean NOT NULL,
            bytes bigint NOT NULL,
            checksum bigint NOT NULL,
            complete boolean NOT NULL,
            stored_at timestamptz NOT NULL,
            state bytea NOT NULL,
            PRIMARY KEY(campaign, lsn)
        );
        ALTER TABLE snapshot ALTER COLUMN state SET STORAGE EXTERNAL;
        CREATE INDEX snapshot_slot ON snapshot(slot, campaign, lsn);
        CREATE INDEX snapshot_wake ON snapshot(slot, wake_at) WHERE wake_at IS NOT NULL;
        CREATE INDEX snapshot_voters ON snapshot(stored_at) WHERE voters;

        CREATE TABLE removed_campaign(
            slot integer NOT NULL,
            campaign uuid NOT NULL,
            lsn bigint NOT NULL,
            PRIMARY KEY(slot, campaign)
        );

        CREATE TABLE ownership_log(
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            slot integer NOT NULL,
            epoch bigint NOT NULL,
            from_node uuid,
            to_node uuid,
            cause text NOT NULL,
            pause_ms double precision,
            tail_lsn bigint
        );
        CREATE INDEX ownership_log_slot ON ownership_log(slot, id);
        """,
        """
        -- What the operator wishes of a process, beside what it says of itself in `draining`.
        ALTER TABLE node_lease ADD COLUMN drain_asked boolean NOT NULL DEFAULT false;
        -- Counts changes of pins, so that nodes need not read them to see that nothing has changed.
        ALTER TABLE placement ADD COLUMN pins bigint NOT NULL DEFAULT 0;
        """,
    ]
}
