// Who else wants to be the only node of a database, from one look at the leases to the next.

import Postgres
import Protocol

struct Rivals {
    private var expiries: [UInt128: Timestamp] = [:]
    private var names: [String] = []
    /// A node that started before this one and renews its lease: it stays, this one gives way.
    private(set) var winner: String?

    /// No other lease is left.
    var isAlone: Bool { names.isEmpty }
    var anyName: String { names.first ?? "" }

    /// Takes in the answer to `LeaseStatements.others`.
    mutating func see(_ result: PostgresResult) throws(PostgresError) {
        names = []
        for row in 0..<result.rowCount {
            let incarnation: UInt128 = try result.value(row, 0)
            let name: String = try result.value(row, 1)
            let expires: Timestamp = try result.value(row, 2)
            let isOlder: Bool = try result.value(row, 3)
            names.append(name)
            if let before = expiries[incarnation], expires > before, isOlder { winner = name }
            expiries[incarnation] = expires
        }
    }
}
