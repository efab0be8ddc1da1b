/// The forms in which one event may leave a node. Each is encoded at most once per event, whoever needs it first.
enum WireVariant: Int, CaseIterable, Sendable {
    case json = 0
    case jsonDeflated = 1
    case binary = 2
    case binaryDeflated = 3
    case sse = 4
}
