// What the simulated database holds: the tables of the schema, as values.

import Postgres
import Protocol

struct NodeRow {
    let incarnation: UInt128
    let name: String
    let address: String
    let weight: Double
    let started: Timestamp
    var expires: Timestamp
    var isDead = false
    var isDraining = false
    var isAskedToDrain = false
}

struct LeaseRow {
    var epoch: UInt64 = 0
    var owner: UInt128?
}

struct JournalRow {
    let epoch: UInt64
    let flush: UInt128
    let count: Int32
    let campaigns: [UInt8]
    let payload: [UInt8]
    let checksum: UInt64
    let storedAt: Timestamp
}

struct SnapshotRow {
    let campaign: UInt128
    let slot: Int32
    let lsn: UInt64
    let epoch: UInt64
    let ordinal: Int32
    let wakeAt: PostgresValue
    let voters: Bool
    let bytes: Int64
    let checksum: UInt64
    let state: [UInt8]
    let storedAt: Timestamp
    var isComplete = false
}

/// A change that a commit makes.
typealias TableWrite = @Sendable (inout Tables) -> Void

struct Tables {
    /// In the order of their starts.
    var nodes: [NodeRow] = []
    var leases: [LeaseRow] = Array(repeating: LeaseRow(), count: Slot.count)
    /// Of all epochs, which only grow.
    var epochSum: UInt64 = 0
    var placementVersion: UInt64 = 0
    /// Nodes by the slots that are fixed to them, and how often that has changed.
    var pins: [Int32: String] = [:]
    var pinChanges: UInt64 = 0
    var journal: [[UInt64: JournalRow]] = Array(repeating: [:], count: Slot.count)
    /// By campaign, then lsn.
    var snapshots: [UInt128: [UInt64: SnapshotRow]] = [:]
    var removed: [Int32: [UInt128: UInt64]] = [:]

    /// Grows with every change of an owner or a pin.
    var ownershipVersion: UInt64 { epochSum + pinChanges }

    func node(_ incarnation: UInt128) -> Int? { nodes.firstIndex { $0.incarnation == incarnation } }

    func isAlive(_ incarnation: UInt128) -> Bool { node(incarnation).map { !nodes[$0].isDead } ?? false }

    func newestRow(_ slot: Int32) -> UInt64 { journal[Int(slot)].keys.max() ?? 0 }

    func snapshots(of slot: Int32) -> [SnapshotRow] {
        snapshots.values.flatMap(\.values).filter { $0.slot == slot && $0.isComplete }
    }

    func tail(_ slot: Int32) -> UInt64 {
        max(newestRow(slot), snapshots(of: slot).map(\.lsn).max() ?? 0)
    }

    /// Whether this owner has the slot at this epoch.
    func isHeld(_ slot: Int32, _ epoch: UInt64, by owner: UInt128) -> Bool {
        let row = leases[Int(slot)]
        return row.epoch == epoch && row.owner == owner
    }
}
