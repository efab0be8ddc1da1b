// `tumulte check` of a node among others: both stores and both addresses.

import Foundation
import Platform
import Redis
import TestSupport
import Testing

@testable import Node

@Suite(.needsServer, .needsRedis, .timeLimit(.minutes(2)))
struct ClusterCheckTests {
    private func environment() async throws -> [String: String] {
        [
            "DATABASE_URL": try await makeDatabase(), "REDIS_URL": try #require(redisURL), "DB_POOL_MAX": "1",
            "TUMULTE_CLUSTER_SECRET": "0123456789abcdef0123456789abcdef", "TUMULTE_HTTP": "127.0.0.1:0",
            "TUMULTE_CLUSTER": "127.0.0.1:0",
        ]
    }

    private func check(_ environment: [String: String], _ variable: String, _ value: String) async -> Int32 {
        await CommandLineTool.run(["check"], environment: environment.merging([variable: value]) { $1 })
    }

    @Test func `stores that answer and addresses that are free are status 0, anything else is 1`() async throws {
        let environment = try await environment()
        #expect(await CommandLineTool.run(["check"], environment: environment) == 0)
        let nobody = "redis://127.0.0.1:\(try freePort())"
        #expect(await check(environment, "REDIS_URL", nobody) == 1)
        let url = try #require(environment["REDIS_URL"])
        #expect(await check(environment, "REDIS_URL", url.replacingOccurrences(of: ":tumulte@", with: ":wrong@")) == 1)
        try await withTakenPort { address in
            #expect(await check(environment, "TUMULTE_CLUSTER", "\(address)") == 1)
            #expect(await check(environment, "TUMULTE_HTTP", "\(address)") == 1)
        }
        // An address of no interface of this machine (RFC 5737).
        #expect(await check(environment, "TUMULTE_CLUSTER", "192.0.2.1:7400") == 1)
        let database = try #require(environment["DATABASE_URL"])
        #expect(await check(environment, "DATABASE_URL", database + "_not") == 1)
    }

    @Test func `what is wrong with Redis is said in one line, without the password`() async throws {
        let url = try #require(redisURL)
        func fault(_ url: String) async throws -> String? {
            await RedisCheck.fault(
                ClusterConfiguration(
                    listen: TCPAddress(bytes: [127, 0, 0, 1], port: 0), redis: try RedisConfiguration(url),
                    secret: Array("a secret of the tests, which is long".utf8)))
        }
        #expect(try await fault(url) == nil)
        let nobody = try await fault("redis://:hunter2@127.0.0.1:\(try freePort())/3")
        let stranger = try await fault(url.replacingOccurrences(of: ":tumulte@", with: ":hunter2@"))
        let elsewhere = try await fault(url.replacingOccurrences(of: "/0", with: "/999999"))
        let unnamed = try await fault("redis://redis.invalid")
        for line in [nobody, stranger, elsewhere, unnamed] {
            let line = try #require(line)
            #expect(line.hasPrefix("REDIS_URL: redis://") && !line.contains("hunter2") && !line.contains("\n"))
        }
        #expect(nobody?.contains("refused") == true, "\(nobody ?? "")")
        #expect(stranger?.contains("WRONGPASS") == true, "\(stranger ?? "")")
        #expect(elsewhere?.contains("999999") == true, "\(elsewhere ?? "")")
    }
}
