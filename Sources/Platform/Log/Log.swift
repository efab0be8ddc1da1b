// Structured logs: one line an event, a constant dotted name, typed fields. Never payloads, never tokens.
//
// Lines go to standard error in one write each. What a message-per-client path would log is counted instead, so the
// volume is bounded by design; lines below the level cost one comparison.

import Synchronization

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// How much a line matters.
public enum LogLevel: Int, Sendable, CaseIterable, Comparable {
    case trace, debug, info, warn, error

    /// Orders by weight.
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

    /// The level's name, as configured and as logged.
    public var name: String {
        switch self {
        case .trace: "trace"
        case .debug: "debug"
        case .info: "info"
        case .warn: "warn"
        case .error: "error"
        }
    }
}

/// A field's value.
public enum LogValue: Sendable, Equatable {
    case string(String)
    case integer(Int)
    case number(Double)
    case boolean(Bool)
}

/// How lines are written.
public enum LogFormat: String, Sendable, CaseIterable {
    /// For people: `12:00:00.000 info node.ready address=…`.
    case text
    /// For programs: one JSON object a line.
    case json
}

/// Writes lines; a value that is passed around.
public struct Log: Sendable {
    /// Bytes of one field's value that are written; the rest is cut.
    public static let valueBytesLimit = 1024

    private let level: LogLevel
    private let format: LogFormat
    private let clock: any Clock
    private let sink: @Sendable ([UInt8]) -> Void

    /// - Parameter sink: takes each whole line; standard error where it is not given.
    public init(
        level: LogLevel, format: LogFormat, clock: any Clock, sink: (@Sendable ([UInt8]) -> Void)? = nil
    ) {
        self.level = level
        self.format = format
        self.clock = clock
        self.sink = sink ?? Self.writeToStandardError
    }

    /// A log that writes nothing.
    public static let silent = Log(level: .error, format: .text, clock: SystemClock()) { _ in }

    private static let writeToStandardError: @Sendable ([UInt8]) -> Void = { line in
        unsafe line.withUnsafeBytes { bytes in _ = unsafe write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }

    /// Something for those who look for a fault.
    public func debug(_ event: StaticString, _ fields: @autoclosure () -> [(StaticString, LogValue)] = []) {
        log(.debug, event, fields)
    }

    /// Something that operators like to see.
    public func info(_ event: StaticString, _ fields: @autoclosure () -> [(StaticString, LogValue)] = []) {
        log(.info, event, fields)
    }

    /// Something that may need a look.
    public func warn(_ event: StaticString, _ fields: @autoclosure () -> [(StaticString, LogValue)] = []) {
        log(.warn, event, fields)
    }

    /// Something that needs a look.
    public func error(_ event: StaticString, _ fields: @autoclosure () -> [(StaticString, LogValue)] = []) {
        log(.error, event, fields)
    }

    private func log(_ level: LogLevel, _ event: StaticString, _ fields: () -> [(StaticString, LogValue)]) {
        guard level >= self.level else { return }
        var line: [UInt8] = []
        switch format {
        case .text: appendText(level, event, fields(), to: &line)
        case .json: appendJSON(level, event, fields(), to: &line)
        }
        line.append(0x0A)
        sink(line)
    }

    private func appendText(
        _ level: LogLevel, _ event: StaticString, _ fields: [(StaticString, LogValue)], to line: inout [UInt8]
    ) {
        line.append(contentsOf: "\(clock.now()) \(level.name) \(event)".utf8)
        for (name, value) in fields {
            line.append(contentsOf: " \(name)=".utf8)
            switch value {
            case .string(let text): Self.appendQuoted(text, to: &line)
            case .integer(let number): line.append(contentsOf: String(number).utf8)
            case .number(let number): line.append(contentsOf: String(number).utf8)
            case .boolean(let truth): line.append(contentsOf: String(truth).utf8)
            }
        }
    }

    private func appendJSON(
        _ level: LogLevel, _ event: StaticString, _ fields: [(StaticString, LogValue)], to line: inout [UInt8]
    ) {
        line.append(contentsOf: "{\"ts\":\"\(clock.now())\",\"level\":\"\(level.name)\",\"event\":\"\(event)\"".utf8)
        for (name, value) in fields {
            line.append(contentsOf: ",\"\(name)\":".utf8)
            switch value {
            case .string(let text): Self.appendQuoted(text, to: &line)
            case .integer(let number): line.append(contentsOf: String(number).utf8)
            case .number(let number): line.append(contentsOf: (number.isFinite ? String(number) : "null").utf8)
            case .boolean(let truth): line.append(contentsOf: String(truth).utf8)
            }
        }
        line.append(UInt8(ascii: "}"))
    }

    /// Control characters of both sets, and the separators that some programs take for the end of a line.
    private static func breaksLines(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x2028...0x2029).contains(scalar.value)
    }

    /// Quotes as JSON does; control characters cannot break the line.
    private static func appendQuoted(_ text: String, to line: inout [UInt8]) {
        line.append(UInt8(ascii: "\""))
        var written = 0
        for scalar in text.unicodeScalars {
            guard written < valueBytesLimit else {
                line.append(contentsOf: "…".utf8)
                break
            }
            switch scalar {
            case "\"": line.append(contentsOf: "\\\"".utf8)
            case "\\": line.append(contentsOf: "\\\\".utf8)
            case "\n": line.append(contentsOf: "\\n".utf8)
            case _ where breaksLines(scalar):
                let digits = String(scalar.value, radix: 16)
                line.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
            default: line.append(contentsOf: String(scalar).utf8)
            }
            written += String(scalar).utf8.count
        }
        line.append(UInt8(ascii: "\""))
    }
}
