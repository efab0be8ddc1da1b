import Platform
import Protocol
import TestSupport
import Testing

@testable import Postgres

/// A value, what the server says of it in its own words, and a way to read it back.
private struct Sample: Sendable, CustomTestStringConvertible {
    let value: PostgresValue
    let text: String
    let reads: @Sendable (PostgresResult) throws -> Bool

    init<Value: PostgresDecodable & Equatable & Sendable>(_ value: PostgresValue, _ text: String, _ plain: Value) {
        self.value = value
        self.text = text
        reads = { try $0.value(0, 0, as: Value.self) == plain }
    }

    var testDescription: String { text }
}

private let samples: [Sample] = [
    Sample(.bool(true), "true", true), Sample(.bool(false), "false", false),
    Sample(.int16(-2), "-2", Int16(-2)), Sample(.int16(.max), "32767", Int64(32767)),
    Sample(.int32(.min), "-2147483648", Int32.min), Sample(.int32(7), "7", Int64(7)),
    Sample(.int64(.min), "-9223372036854775808", Int64.min), Sample(.uint64(.max), "-1", UInt64.max),
    Sample(.float8(-0.5), "-0.5", -0.5), Sample(.float8(.infinity), "Infinity", Double.infinity),
    Sample(.text("Grüße 🗳"), "Grüße 🗳", "Grüße 🗳"), Sample(.text(""), "", ""),
    Sample(.bytes([0, 1, 255]), "\\x0001ff", [UInt8]([0, 1, 255])), Sample(.bytes([]), "\\x", [UInt8]()),
    Sample(
        .uuid(0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF), "00112233-4455-6677-8899-aabbccddeeff",
        UInt128(0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF)),
    Sample(
        .timestamp(Timestamp(milliseconds: 1_772_366_400_123)), "2026-03-01 12:00:00.123+00",
        Timestamp(milliseconds: 1_772_366_400_123)),
    Sample(.timestamp(Timestamp(milliseconds: -1)), "1969-12-31 23:59:59.999+00", Timestamp(milliseconds: -1)),
    Sample(.timestamp(Timestamp(milliseconds: .max)), "infinity", Timestamp(milliseconds: .max)),
    Sample(.int32Array([1, -1]), "{1,-1}", [Int32(1), -1]), Sample(.int32Array([]), "{}", [Int32]()),
    Sample(.int64Array([.min, 0]), "{-9223372036854775808,0}", [Int64.min, 0]),
    Sample(.uint64Array([.max]), "{-1}", [UInt64.max]),
    Sample(.uuidArray([1]), "{00000000-0000-0000-0000-000000000001}", [UInt128(1)]),
    Sample(.bytesArray([[], [1, 2]]), "{\"\\\\x\",\"\\\\x0102\"}", [[UInt8]]([[], [1, 2]])),
    Sample(.textArray(["", "a,b", "NULL"]), "{\"\",\"a,b\",\"NULL\"}", ["", "a,b", "NULL"]),
    Sample(.timestampArray([Timestamp(milliseconds: 0)]), "{\"1970-01-01 00:00:00+00\"}", [Timestamp(milliseconds: 0)]),
]

@Suite(.needsServer, .timeLimit(.minutes(1)))
struct ValueTests {
    @Test(arguments: samples)
    private func `a value goes there and back, and means the same to the server`(_ sample: Sample) async throws {
        try await withConnection { connection in
            try await connection.run(script: "SET timezone = 'UTC'", deadline: within(10))
            let type = try #require(sample.value.type)
            let echo = PostgresStatement("echo", [type], "SELECT $1, $1::text, NULL::int")
            let result = try await connection.execute(echo, [sample.value], deadline: within(10))
            #expect(try result.value(0, 1, as: String.self) == sample.text)
            #expect(try sample.reads(result))
            #expect(try result.optional(0, 2, as: Int32.self) == nil)
            let null = try await connection.execute(echo, [.null], deadline: within(10))
            #expect(null.isNull(0, 0) && null.isNull(0, 1))
        }
    }

    @Test func `nulls in arrays of times arrive`() async throws {
        try await withConnection { connection in
            let unnest = PostgresStatement(
                "unnest", [.int32Array, .timestampArray], "SELECT * FROM unnest($1, $2) ORDER BY 1")
            let result = try await connection.execute(
                unnest, [.int32Array([1, 2]), .timestampArray([nil, Timestamp(milliseconds: 5)])], deadline: within(10))
            #expect(result.rowCount == 2 && result.affectedRows == 2)
            #expect(try result.optional(0, 1, as: Timestamp.self) == nil)
            #expect(try result.value(1, 1, as: Timestamp.self) == Timestamp(milliseconds: 5))
        }
    }

    @Test func `what is of another type or missing cannot be read`() async throws {
        try await withConnection { connection in
            let statement = PostgresStatement("row", [], "SELECT 1::bigint, NULL::text, ARRAY[1, NULL], 70000::int")
            let result = try await connection.execute(statement, deadline: within(10))
            #expect(throws: PostgresError.self) { try result.value(0, 0, as: String.self) }
            #expect(throws: PostgresError.self) { try result.value(0, 1, as: String.self) }
            #expect(throws: PostgresError.self) { try result.value(0, 2, as: [Int32].self) }
            #expect(throws: PostgresError.self) { try result.value(0, 3, as: Int16.self) }
            #expect(throws: PostgresError.self) { try result.value(1, 0, as: Int64.self) }
            let error = #expect(throws: PostgresError.self) { try result.value(0, 9, as: Int64.self) }
            #expect(error?.outcome == .unreadable)
        }
    }

    @Test func `a script of many statements is one transaction`() async throws {
        try await withConnection { connection in
            let error = await failure { () async throws(PostgresError) in
                try await connection.run(
                    script: "CREATE TEMP TABLE gone (n int); SELECT 1; SELEKT; SELECT 2", deadline: within(10))
            }
            #expect(error?.sqlState == "42601")
            let look = PostgresStatement("look", [], "SELECT to_regclass('gone') IS NULL")
            let answer = try await connection.execute(look, deadline: within(10))
            #expect(try answer.value(0, 0, as: Bool.self))
        }
    }
}
