/// A statement that each connection prepares once, when it first runs there.
public struct PostgresStatement: Hashable, Sendable {
    /// Its name on the server; one name means one text in the whole program.
    public let name: String
    /// The types of `$1`, `$2` and so on. Values are checked against them before anything is sent.
    public let parameters: [PostgresType]
    /// The text.
    public let sql: String

    /// Takes a name, the types of its parameters and the text: one statement, without a semicolon's second one.
    public init(_ name: String, _ parameters: [PostgresType] = [], _ sql: String) {
        precondition(parameters.count <= 65_535, "a statement has at most 65535 parameters")
        precondition(!name.isEmpty && !name.utf8.contains(0) && !sql.utf8.contains(0), "a statement needs a name")
        self.name = name
        self.parameters = parameters
        self.sql = sql
    }

    /// Why these values do not fit; `nil` where they do.
    func mismatch(_ values: [PostgresValue]) -> String? {
        guard values.count == parameters.count else {
            return "\(name) takes \(parameters.count) values, not \(values.count)"
        }
        for (index, value) in values.enumerated() {
            if let type = value.type, type != parameters[index] {
                return "value \(index + 1) of \(name) has type \(type.oid), declared \(parameters[index].oid)"
            }
            if case .text(let text) = value, text.utf8.contains(0) {
                return "value \(index + 1) of \(name) holds a zero byte, which text cannot"
            }
        }
        return nil
    }
}
