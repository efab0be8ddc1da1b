// What is said to Postgres. Three rules carry the safety of the journal, and each has a test that breaks it:
//
//   - Whatever writes for a slot locks the slot's lease row `FOR SHARE` in the same statement, after testing epoch and
//     owner. A claim locks it `FOR UPDATE`, so that it waits for writers at work, and writers that come later see the
//     new epoch. A weaker lock lets a stale writer through: an update of a column that is no key does not conflict
//     with `FOR KEY SHARE`.
//   - The tail of a claimed slot is read in a statement of its own, after the one that locked: a statement's snapshot
//     is taken before it waits for its locks, and would miss rows that were committed meanwhile.
//   - The rows that an insert did not return are looked up in a later statement, for the same reason.
//
// Locks are taken in the order of the slots, so that two batches cannot wait for each other.

import Postgres

/// The statements of a journal.
final class PostgresStatements: Sendable {
    /// How the journal takes part in weakened forms in the race test; a journal in service has `strict`.
    enum Fence: String, Sendable, CaseIterable {
        case strict = "FOR SHARE OF l"
        /// Conflicts with nothing that a claim does.
        case keyShare = "FOR KEY SHARE OF l"
        /// The epoch is compared, nothing is locked.
        case none = ""
    }

    let flush: PostgresStatement
    let claimSlots: PostgresStatement

    /// - Parameters:
    ///   - clock: the time in SQL; tests hold it still.
    ///   - fence: `strict` but in the race test.
    ///   - trim: in place of the journal's own, by tests that break its rule.
    ///   - tails: likewise.
    init(
        clock: String = "clock_timestamp()", fence: Fence = .strict, trim: PostgresStatement? = nil,
        tails: PostgresStatement? = nil
    ) {
        let order = fence == .none ? "" : "ORDER BY l.slot \(fence.rawValue)"
        flush = PostgresStatement(
            "journal.flush",
            [
                .int32Array, .int64Array, .int64Array, .uuidArray, .int32Array, .bytesArray, .bytesArray, .int64Array,
                .uuid,
            ],
            """
            WITH batch AS (
                SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)
                    AS b(slot, lsn, epoch, flush, count, campaigns, payload, checksum)
            ), fence AS (
                SELECT l.slot, l.epoch FROM slot_lease l
                WHERE (l.slot, l.epoch) IN (SELECT slot, epoch FROM batch) AND l.owner = $9
                \(order)
            )
            INSERT INTO journal(slot, lsn, epoch, flush, count, campaigns, payload, checksum, stored_at)
            SELECT b.slot, b.lsn, b.epoch, b.flush, b.count, b.campaigns, b.payload, b.checksum, \(clock)
            FROM batch b JOIN fence f ON f.slot = b.slot AND f.epoch = b.epoch
            ORDER BY b.slot, b.lsn
            ON CONFLICT DO NOTHING
            RETURNING slot, lsn, flush
            """)
        claimSlots = PostgresStatement(
            "claim.take", [.int32Array, .uuid],
            """
            UPDATE slot_lease
            SET owner = $2, epoch = greatest(epoch + 1, floor(extract(epoch FROM \(clock)))::bigint)
            WHERE slot = ANY($1) RETURNING slot, epoch
            """)
        let snapshotFence = """
            fence AS (
                SELECT l.slot FROM slot_lease l WHERE l.slot = $1 AND l.epoch = $2 AND l.owner = $3 FOR SHARE OF l
            )
            """
        storeSnapshot = PostgresStatement(
            "snapshot.store",
            [
                .int32, .int64, .uuid, .uuid, .int64, .int32, .timestamp, .bool, .int64, .int64, .bytes,
            ],
            """
            WITH \(snapshotFence)
            INSERT INTO snapshot(campaign, slot, lsn, epoch, format, ordinal, wake_at, voters, bytes, checksum,
                complete, stored_at, state)
            SELECT $4, f.slot, $5, $2, $6,
                (SELECT coalesce(max(ordinal), 0) + 1 FROM snapshot WHERE campaign = $4 AND complete),
                $7, $8, $9, $10, false, \(clock), $11
            FROM fence f
            ON CONFLICT (campaign, lsn) DO UPDATE SET epoch = excluded.epoch, format = excluded.format,
                ordinal = excluded.ordinal, wake_at = excluded.wake_at,
                voters = excluded.voters, bytes = excluded.bytes, checksum = excluded.checksum,
                stored_at = excluded.stored_at, state = excluded.state
                WHERE NOT snapshot.complete
            RETURNING lsn
            """)
        completeSnapshot = PostgresStatement(
            "snapshot.complete", [.int32, .int64, .uuid, .uuid, .int64],
            """
            WITH \(snapshotFence)
            UPDATE snapshot s SET complete = true FROM fence f
            WHERE s.slot = f.slot AND s.campaign = $4 AND s.lsn = $5 RETURNING s.lsn
            """)
        pruneSnapshots = PostgresStatement(
            "snapshot.prune", [.int32, .int64, .uuid, .uuid],
            """
            WITH \(snapshotFence), kept AS (
                SELECT lsn FROM snapshot WHERE campaign = $4 AND complete ORDER BY lsn DESC LIMIT 2
            )
            DELETE FROM snapshot s USING fence f
            WHERE s.slot = f.slot AND s.campaign = $4 AND s.lsn < (SELECT min(lsn) FROM kept)
            """)
        removeSnapshots = PostgresStatement(
            "campaign.remove", [.int32, .int64, .uuid, .uuid, .int64],
            """
            WITH \(snapshotFence), gone AS (
                DELETE FROM snapshot s USING fence f WHERE s.slot = f.slot AND s.campaign = $4
            )
            INSERT INTO removed_campaign SELECT f.slot, $4, $5 FROM fence f
            ON CONFLICT (slot, campaign) DO UPDATE SET lsn = excluded.lsn RETURNING slot
            """)
        let ownTrim = PostgresStatement(
            "journal.trim", [.int32, .int64, .uuid, .int64, .int32],
            """
            WITH \(snapshotFence)
            DELETE FROM journal j USING fence f
            WHERE j.slot = f.slot AND j.lsn <= $4
                AND j.lsn < (SELECT max(lsn) FROM journal WHERE slot = $1)
                AND j.lsn < (SELECT min(lsn) FROM journal WHERE slot = $1) + $5
            RETURNING j.lsn
            """)
        self.trim = trim ?? ownTrim
        self.tails = tails ?? Self.ownTails
        forgetRemoved = PostgresStatement(
            "campaign.forget", [.int32, .int64, .uuid, .int64],
            """
            WITH \(snapshotFence)
            DELETE FROM removed_campaign r USING fence f WHERE r.slot = f.slot AND r.lsn <= $4
            """)
        expireSnapshots = PostgresStatement(
            "voters.expire", [.uuid, .timestamp],
            """
            WITH fence AS (
                SELECT l.slot FROM slot_lease l WHERE l.owner = $1 ORDER BY l.slot FOR SHARE OF l
            )
            DELETE FROM snapshot s USING fence f
            WHERE s.slot = f.slot AND s.lsn <= (
                SELECT max(o.lsn) FROM snapshot o
                WHERE o.campaign = s.campaign AND o.complete AND o.voters AND o.stored_at < $2
                AND EXISTS (SELECT 1 FROM snapshot n WHERE n.campaign = o.campaign AND n.complete
                    AND NOT n.voters AND n.lsn > o.lsn))
            """)
    }

    let storeSnapshot: PostgresStatement
    let completeSnapshot: PostgresStatement
    let pruneSnapshots: PostgresStatement
    let removeSnapshots: PostgresStatement
    let trim: PostgresStatement
    let forgetRemoved: PostgresStatement
    let expireSnapshots: PostgresStatement

    // MARK: - Flush

    /// What is stored at the places of rows that a flush did not insert.
    let lookUp = PostgresStatement(
        "journal.lookup", [.int32Array, .int64Array],
        """
        SELECT j.slot, j.lsn, j.flush, j.checksum FROM unnest($1, $2) AS w(slot, lsn)
        JOIN journal j ON j.slot = w.slot AND j.lsn = w.lsn
        """)

    // MARK: - Claim

    /// Step 1: from here on nobody writes for these slots.
    let lockSlots = PostgresStatement(
        "claim.lock", [.int32Array],
        "SELECT slot, epoch, owner FROM slot_lease WHERE slot = ANY($1) ORDER BY slot FOR UPDATE")

    /// Step 2: a node that was declared dead claims nothing. After the slots, which may have to be waited for: while the
    /// lease's row is locked it cannot be renewed.
    let lockOwnLease = PostgresStatement(
        "claim.self", [.uuid], "SELECT 1 FROM node_lease WHERE incarnation = $1 AND NOT dead FOR SHARE")

    /// Which of these owners live, and how many milliseconds ago each last renewed its lease or gave it back, where a
    /// lease lasts $2 seconds. A statement of its own, so that it sees what was true once the slots were locked.
    let owners = PostgresStatement(
        "claim.owners", [.uuidArray, .float8],
        """
        SELECT incarnation, dead, 1000 * (extract(epoch FROM clock_timestamp() - expires)::double precision + $2)
        FROM node_lease WHERE incarnation = ANY($1)
        """)

    /// Step 3, after the epochs were raised.
    let tails: PostgresStatement

    private static let ownTails = PostgresStatement(
        "claim.tails", [.int32Array],
        """
        SELECT w.slot, greatest(
            coalesce((SELECT max(lsn) FROM journal j WHERE j.slot = w.slot), 0),
            coalesce((SELECT max(lsn) FROM snapshot s WHERE s.slot = w.slot AND s.complete), 0))
        FROM unnest($1) AS w(slot)
        """)

    let logClaims = PostgresStatement(
        "claim.log", [.int32Array, .int64Array, .uuidArray, .int64Array, .uuid],
        """
        INSERT INTO ownership_log(slot, epoch, from_node, tail_lsn, to_node, cause)
        SELECT c.slot, c.epoch, b.node, c.tail, $5, CASE WHEN b.node IS NULL THEN 'claim' ELSE 'crash' END
        FROM unnest($1, $2, $3, $4) AS c(slot, epoch, from_node, tail)
        CROSS JOIN LATERAL (SELECT nullif(c.from_node, '00000000-0000-0000-0000-000000000000') AS node) AS b
        """)

    // MARK: - Recovery

    /// The newest complete snapshots without their states, newest first within a campaign.
    let snapshotHeaders = PostgresStatement(
        "recover.headers", [.int32Array],
        """
        SELECT slot, campaign, lsn, epoch, ordinal, wake_at, voters, bytes, checksum
        FROM snapshot WHERE slot = ANY($1) AND complete ORDER BY slot, campaign, lsn DESC
        """)

    let snapshotState = PostgresStatement(
        "recover.state", [.uuid, .int64],
        "SELECT slot, campaign, lsn, epoch, wake_at, voters, bytes, checksum, state, ordinal FROM snapshot "
            + "WHERE campaign = $1 AND lsn = $2")

    let newestSnapshots = PostgresStatement(
        "recover.newest", [.int32, .uuid],
        """
        SELECT lsn FROM snapshot WHERE slot = $1 AND campaign = $2 AND complete ORDER BY lsn DESC
        """)

    /// The newest snapshot of every campaign of a slot, with its state.
    let slotStates = PostgresStatement(
        "recover.states", [.int32],
        """
        SELECT DISTINCT ON (campaign) slot, campaign, lsn, epoch, wake_at, voters, bytes, checksum, state, ordinal
        FROM snapshot WHERE slot = $1 AND complete ORDER BY campaign, lsn DESC
        """)

    /// Which rows concern which campaign. It is made of the rows themselves: there is no bookkeeping to be wrong.
    let campaignRows = PostgresStatement(
        "recover.campaigns", [.int32Array],
        """
        SELECT j.slot, substring(j.campaigns FROM 16 * i + 1 FOR 16), min(j.lsn), max(j.lsn), max(j.stored_at)
        FROM journal j, generate_series(0, length(j.campaigns) / 16 - 1) AS i
        WHERE j.slot = ANY($1) GROUP BY 1, 2
        """)

    let removedCampaigns = PostgresStatement(
        "recover.removed", [.int32Array], "SELECT slot, campaign, lsn FROM removed_campaign WHERE slot = ANY($1)")

    /// Rows after an lsn, so many at a time.
    let rowsAfter = PostgresStatement(
        "recover.rows", [.int32, .int64, .int32],
        """
        SELECT lsn, epoch, flush, count, campaigns, payload, checksum FROM journal
        WHERE slot = $1 AND lsn > $2 ORDER BY lsn LIMIT $3
        """)

    /// Slots with rows, of those that a node owns.
    let slotsWithRows = PostgresStatement(
        "slots.rows", [.uuid],
        """
        SELECT l.slot FROM slot_lease l
        WHERE l.owner = $1 AND EXISTS (SELECT 1 FROM journal j WHERE j.slot = l.slot)
        """)

    let oldVoterSnapshots = PostgresStatement(
        "voters.snapshots", [.uuid, .timestamp],
        """
        SELECT s.slot, s.campaign, min(s.lsn), min(s.stored_at) FROM snapshot s
        JOIN slot_lease l ON l.slot = s.slot AND l.owner = $1
        WHERE s.complete AND s.voters AND s.stored_at < $2 GROUP BY 1, 2
        """)

    let oldRows = PostgresStatement(
        "voters.rows", [.int32Array, .timestamp],
        """
        SELECT j.slot, substring(j.campaigns FROM 16 * i + 1 FOR 16), min(j.lsn), max(j.stored_at)
        FROM journal j, generate_series(0, length(j.campaigns) / 16 - 1) AS i
        WHERE j.slot = ANY($1) AND j.stored_at < $2 GROUP BY 1, 2
        """)

    // MARK: - Repair

    let quarantine = PostgresStatement(
        "repair.move", [.int32, .int64],
        """
        INSERT INTO journal_quarantine
        SELECT clock_timestamp(), slot, lsn, epoch, flush, count, campaigns, payload, checksum, stored_at
        FROM journal WHERE slot = $1 AND lsn > $2
        """)

    let deleteAfter = PostgresStatement(
        "repair.delete", [.int32, .int64], "DELETE FROM journal WHERE slot = $1 AND lsn > $2 RETURNING lsn")

    let insertFiller = PostgresStatement(
        "repair.fill", [.int32, .int64Array, .int64, .int64Array],
        """
        INSERT INTO journal(slot, lsn, epoch, flush, count, campaigns, payload, checksum, stored_at)
        SELECT $1, f.lsn, $3, '00000000-0000-0000-0000-000000000000', 0, '', '', f.checksum, clock_timestamp()
        FROM unnest($2, $4) AS f(lsn, checksum)
        """)
}
