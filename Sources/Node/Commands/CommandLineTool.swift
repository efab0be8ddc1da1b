// `tumulte`: runs what the command line asks for and returns the exit status.

import Journal
import Platform
import Protocol

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The program behind the command line.
public enum CommandLineTool {
    private static let failed: Int32 = 1
    private static let wrongUsage: Int32 = 2
    private static let wrongConfiguration: Int32 = 78

    /// Runs one command.
    ///
    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - simulate: runs a simulation and returns the exit status.
    /// - Returns: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration.
    public static func run(
        _ arguments: [String], environment: [String: String],
        simulate: (SimulationRequest) -> Int32 = { _ in 1 }
    ) async -> Int32 {
        let command: ParsedCommand
        do {
            command = try CommandParser.parse(arguments)
        } catch {
            complain("tumulte: \(error.message)")
            complain("Try: tumulte \(error.command.map { "\($0) " } ?? "")--help")
            return wrongUsage
        }
        switch command {
        case .help(let text): print(text)
        case .version: print("tumulte \(Version.current)")
        case .health(let url): return HealthQuery.run(url.isEmpty ? defaultURL(environment) : url)
        case .verify(let campaign, let target): return verify(campaign, target, environment)
        case .query(let query, let target): return ask(query, target, environment)
        case .simulate(let request): return simulate(request)
        case .node, .migrate, .check, .token, .repair: return await runConfigured(command, environment)
        }
        return 0
    }

    private static func complain(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
    }

    private static func runConfigured(_ command: ParsedCommand, _ environment: [String: String]) async -> Int32 {
        let configuration: NodeConfiguration
        do {
            configuration = try NodeConfiguration.load(
                environment: environment, cores: ProcessFacts.cores, hostName: ProcessFacts.hostName,
                isTerminal: ProcessFacts.isTerminal, readFile: ProcessFacts.readFile)
        } catch {
            complain("\(error)")
            return wrongConfiguration
        }
        switch command {
        case .node: return await NodeMain.run(configuration)
        case .migrate: return await migrate(configuration)
        case .check: return await check(configuration)
        case .token(let request): return token(request, configuration)
        case .repair(let slot, let lsn):
            return await withStore(configuration) { journal in
                let moved = try await journal.repair(Slot(slot), keepThrough: lsn)
                print("\(moved) rows of slot \(slot) were set aside in journal_quarantine; the node can be started.")
            }
        case .help, .version, .verify, .query, .health, .simulate:
            preconditionFailure("needs no configuration: \(command)")
        }
    }

    // MARK: - Commands

    private static func withStore(
        _ configuration: NodeConfiguration, _ body: (any Journal) async throws -> Void
    ) async -> Int32 {
        do {
            let store = try NodeStore(configuration, log: .silent)
            try await store.open(isAlone: true)
            do {
                try await body(store.journal)
            } catch {
                await store.journal.close()
                throw error
            }
            await store.journal.close()
            withExtendedLifetime(store) {}
            return 0
        } catch {
            complain("\(error)")
            return failed
        }
    }

    private static func migrate(_ configuration: NodeConfiguration) async -> Int32 {
        guard let database = configuration.database else {
            return await withStore(configuration) { _ in print("The store is ready.") }
        }
        do {
            let before = try await DatabaseCommands.migrate(database)
            let now = PostgresMigration.version
            print(
                before == now
                    ? "The database \(database) has schema \(now) already."
                    : "The database \(database) was brought from schema \(before) to \(now).")
            return 0
        } catch {
            complain("\(error)")
            return failed
        }
    }

    private static func check(_ configuration: NodeConfiguration) async -> Int32 {
        for (name, value) in configuration.summary { print("\(name) = \(value)") }
        if let database = configuration.database {
            do {
                try await DatabaseCommands.check(database, connections: configuration.databaseConnections)
                print("The database \(database) is in order.")
            } catch {
                complain("\(error)")
                return failed
            }
        } else {
            let status = await withStore(configuration) { _ in
                print("The store in \(configuration.dataFolder) is in order.")
            }
            guard status == 0 else { return status }
        }
        if let cluster = configuration.cluster {
            if let fault = await RedisCheck.fault(cluster) {
                complain(fault)
                return failed
            }
            print("The Redis \(cluster.redis) is in order.")
        }
        let addresses = [
            ("TUMULTE_HTTP", configuration.http), ("TUMULTE_CLUSTER", configuration.cluster?.listen),
        ]
        for case (let variable, let address?) in addresses {
            if let reason = PortProbe.fault(address) {
                complain("\(variable): \(reason)")
                return failed
            }
            print("The address \(address) is free.")
        }
        return 0
    }

    private static func token(_ request: TokenRequest, _ configuration: NodeConfiguration) -> Int32 {
        guard let secret = configuration.tokenSecret else {
            complain(
                "TUMULTE_TOKEN_SECRET: is needed to sign tokens; for example "
                    + "TUMULTE_TOKEN_SECRET=$(head -c 32 /dev/urandom | base64)")
            return wrongConfiguration
        }
        print(
            TokenVerifier.mint(
                secret: secret, subject: request.subject, role: request.role, channel: request.channel,
                lifetime: request.lifetimeSeconds, now: SystemClock().now()))
        return 0
    }

    private static func defaultURL(_ environment: [String: String]) -> String {
        let address = environment["TUMULTE_HTTP"] ?? ""
        return "http://" + (address.isEmpty ? "127.0.0.1:8080" : address)
    }

    /// Sends an admin query; complains where there is no answer with status 200.
    private static func ask(
        _ method: String, _ path: String, _ target: AdminTarget, _ environment: [String: String], body: [UInt8]? = nil
    ) -> [UInt8]? {
        let reader = EnvironmentReader(environment: environment, readFile: ProcessFacts.readFile)
        do {
            let secret = try reader.bearerToken("TUMULTE_ADMIN_TOKEN", bytes: 16)
            let token = target.token ?? secret.map { String(decoding: $0, as: UTF8.self) }
            let url = target.url ?? defaultURL(environment)
            let answer = try SimpleHTTPClient.send(method, url, path, bearer: token, body: body)
            if answer.status == 200 { return answer.body }
            complain("the node answered \(answer.status): \(String(decoding: answer.body, as: UTF8.self))")
        } catch {
            complain("\(error)")
        }
        return nil
    }

    private static func verify(
        _ campaign: String, _ target: AdminTarget, _ environment: [String: String]
    ) -> Int32 {
        guard let body = ask("POST", "/admin/campaigns/\(campaign)/verify", target, environment) else { return failed }
        let text = String(decoding: body, as: UTF8.self)
        guard let report = VerifyAnswer(body) else {
            complain("the node answered something else: \(text)")
            return failed
        }
        print(target.isJSON ? text : report.table(campaign))
        return report.isOK ? 0 : failed
    }

    private static func ask(
        _ query: PlacementCommand, _ target: AdminTarget, _ environment: [String: String]
    ) -> Int32 {
        guard let body = ask(query.method, query.path, target, environment, body: query.body) else { return failed }
        let text = String(decoding: body, as: UTF8.self)
        guard let answer = AnswerObject(answer: body), let table = PlacementTables.text(query, answer) else {
            complain("the node answered something else: \(text)")
            return failed
        }
        print(target.isJSON ? text : table)
        return PlacementTables.isGood(query, answer) ? 0 : failed
    }
}

/// Whether a node could listen.
enum PortProbe {
    /// Why not, or `nil`.
    static func fault(_ address: TCPAddress) -> String? {
        let group = LoopGroup(count: 1, name: "probe")
        defer { group.shutdown() }
        let found = Locked<String??>(nil)
        let done = Inbox<Bool>(limit: 1)
        let loops = group.loops
        loops[0].execute {
            do throws(SystemError) {
                let listener = try TCPListener(address, options: TCPListenerOptions(), loops: loops) { _, stream in
                    stream.close()
                }
                listener.close()
                found.withLock { $0 = .some(nil) }
            } catch {
                found.withLock { $0 = .some(error.description) }
            }
            done.post(true)
        }
        while done.count == 0 { sched_yield() }
        return found.withLock { $0 ?? nil }
    }
}

/// `tumulte health`: well once the node has been ready, and as long as it answers from then on. An outage of a store must
/// not make a supervisor kill every node: whether clients are to be sent there is for `/health/ready` to say.
enum HealthQuery {
    static func run(_ url: String) -> Int32 {
        guard let answer = try? SimpleHTTPClient.send("GET", url, "/health/ready", bearer: nil) else { return 1 }
        let isStarting = String(decoding: answer.body, as: UTF8.self).contains(#""status":"starting""#)
        return answer.status == 200 || answer.status == 503 && !isStarting ? 0 : 1
    }
}

/// What a node says of a campaign that it verified.
struct VerifyAnswer {
    let isOK: Bool
    let lsn: Int64
    let votes: Int64
    let liveHash: String
    let replayHash: String?

    init?(_ body: [UInt8]) {
        let bytes = body.span
        guard let document = try? JSONObject.document(bytes), let slice = document.member("data", bytes),
            let data = try? JSONObject(slice, bytes), let lsn = data.member("lsn", bytes)?.integer(bytes),
            let votes = data.member("votes", bytes)?.integer(bytes),
            let live = data.member("liveHash", bytes)?.string(bytes)
        else { return nil }
        self.lsn = lsn
        self.votes = votes
        liveHash = live
        replayHash = data.member("replayHash", bytes)?.string(bytes)
        isOK = Self.isTrue(data.member("ok", bytes), bytes) && replayHash == live
    }

    private static func isTrue(_ value: JSONSlice?, _ bytes: Span<UInt8>) -> Bool {
        value.map { String(decoding: $0.rawText(bytes), as: UTF8.self) == "true" } ?? false
    }

    func table(_ campaign: String) -> String {
        """
        campaign     \(campaign)
        verdict      \(isOK ? "ok: the replay gives the live state" : "DIFFERENT")
        rows up to   \(lsn)
        votes        \(votes)
        live hash    \(liveHash)
        replay hash  \(replayHash ?? "none: the journal does not know the campaign")
        """
    }
}
