// Columns for people: as wide as their widest cell, numbers to the right.

struct TextTable {
    private let head: [String]
    private var rows: [[String]] = []

    init(_ head: String...) { self.head = head }

    var isEmpty: Bool { rows.isEmpty }

    /// Adds a row; what is missing is a dash.
    mutating func add(_ cells: String?...) { rows.append(cells.map { $0 ?? "-" }) }

    /// Lines without blanks at their ends.
    var text: String {
        let lines = [head] + rows
        let widths = head.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        let isNumeric = head.indices.map { column in
            let cells = rows.map { $0[column] }.filter { $0 != "-" }
            return !cells.isEmpty && cells.allSatisfy { Double($0) != nil }
        }
        return lines.map { line in
            var text = ""
            for (column, cell) in line.enumerated() {
                let blanks = String(repeating: " ", count: widths[column] - cell.count)
                text += (column == 0 ? "" : "  ") + (isNumeric[column] ? blanks + cell : cell + blanks)
            }
            while text.last == " " { text.removeLast() }
            return text
        }.joined(separator: "\n")
    }
}
