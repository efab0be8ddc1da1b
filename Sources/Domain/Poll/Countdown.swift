// The marks of `poll:countdown`: half of the duration (rounded down), then 10, 5, 4, 3, 2, 1 and 0 seconds left.
// What is kept of them is one number, the lowest mark that has passed; a mark that passed while nobody served is
// passed over and never made up for.

import Protocol

struct Countdown: Equatable, Sendable {
    let durationSeconds: Int
    /// Marks at or above this are done with.
    private(set) var passedMark: Int

    /// A mark is announced only within this time of its moment. Marks lie 1,000 ms apart or more, so that no two are
    /// ever announced at once.
    static let latenessLimitMilliseconds: Int64 = 1000

    init(durationSeconds: Int, passedMark: Int? = nil) {
        self.durationSeconds = durationSeconds
        self.passedMark = passedMark ?? durationSeconds
    }

    /// The next mark: the greatest below those that passed; `nil` once 0 has passed.
    var nextMark: Int? { Self.mark(below: passedMark, durationSeconds: durationSeconds) }

    /// Seconds left at the greatest mark below `bound`.
    static func mark(below bound: Int, durationSeconds: Int) -> Int? {
        let half = durationSeconds / 2
        var best: Int? = half < bound ? half : nil
        let fixed: InlineArray<7, Int> = [10, 5, 4, 3, 2, 1, 0]
        for index in fixed.indices where fixed[index] < bound && fixed[index] < durationSeconds {
            if best.map({ fixed[index] > $0 }) ?? true { best = fixed[index] }
        }
        return best
    }

    mutating func pass(_ mark: Int) { passedMark = mark }
}
