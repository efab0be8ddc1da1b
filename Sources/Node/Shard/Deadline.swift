// When a campaign wants to be woken. One that changes its mind is queued again; the older entry is recognised as stale when
// it comes up, which is cheaper than finding and removing it.

import Protocol

struct Deadline: Comparable {
    /// Monotonic nanoseconds.
    let at: UInt64
    let campaign: CampaignID

    static func < (a: Self, b: Self) -> Bool { a.at < b.at }
}
