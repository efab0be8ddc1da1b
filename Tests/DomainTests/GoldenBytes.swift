// What version 1 of the formats looks like, written once; a change of these bytes is a new version.

enum GoldenBytes {
    static let stateHash: UInt64 = 0

    static let records = """
        """

    static let snapshot = """
        """
}
