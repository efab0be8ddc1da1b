// From a URL to a session at the server that takes writes: Sentinels are asked, names resolved, each candidate tried in
// turn with its share of the time that is left, so that one which never answers does not take the others' turn.

internal import Platform

extension RedisConnection {
    func openSession(
        deadline: MonotonicTime, onLost: @escaping @Sendable (RedisError) -> Void
    ) async throws(RedisError) -> RedisSession {
        var requirements = RedisSession.Requirements()
        requirements.login = configuration.login
        requirements.database = configuration.database
        switch configuration.place {
        case .direct(let host):
            return try await open(host, requirements, deadline: deadline, onLost: onLost)
        case .sentinels(let hosts, let master):
            requirements.mustBeMaster = true
            var failures: [RedisError] = []
            for index in hosts.indices {
                let chosen = (sentinel + index) % hosts.count
                let share = deadline.share(among: hosts.count - index)
                do throws(RedisError) {
                    // Half for the question, the rest for the master.
                    let answer = try await ask(hosts[chosen], about: master, deadline: share.share(among: 2))
                    let session = try await open(answer, requirements, deadline: share, onLost: onLost)
                    sentinel = chosen
                    return session
                } catch {
                    failures.append(error)
                    try stillWanted()
                }
            }
            throw Self.summary(failures)
        }
    }

    /// Opens a session at the first address of a host that suits.
    private func open(
        _ host: RedisConfiguration.Host, _ requirements: RedisSession.Requirements, deadline: MonotonicTime,
        onLost: @escaping @Sendable (RedisError) -> Void = { _ in }
    ) async throws(RedisError) -> RedisSession {
        let addresses: [TCPAddress]
        do throws(ResolveError) {
            addresses = try await resolver.resolve(host.name, deadline: deadline)
        } catch {
            throw RedisError(.notSent, .connecting, error.description)
        }
        var requirements = requirements
        requirements.tls = configuration.tls.map { ($0, host.name) }
        var failures: [RedisError] = []
        for (index, address) in addresses.enumerated() {
            try stillWanted()
            let session = RedisSession(options, on: loop, meter: meter, onLost: onLost)
            self.session = session
            let target = TCPAddress(bytes: address.bytes, port: host.port)
            do throws(RedisError) {
                try await session.open(target, requirements, deadline: deadline.share(among: addresses.count - index))
                try stillWanted()
                return session
            } catch {
                await session.close()
                failures.append(error)
            }
        }
        throw Self.summary(failures)
    }

    private func stillWanted() throws(RedisError) {
        if phase == .closed { throw Self.closed }
    }

    private static func summary(_ failures: [RedisError]) -> RedisError {
        // What an operator must act on comes before what may pass by itself.
        let first = failures.first { $0.reason == .setup } ?? failures.first
        guard let first, failures.count > 1 else {
            return first ?? RedisError(.notSent, .connecting, "the host has no address")
        }
        return RedisError(
            .notSent, first.reason, code: first.code, failures.map(\.message).joined(separator: "; "))
    }

    // MARK: - Sentinel

    /// Asks a Sentinel where the master is.
    private func ask(
        _ host: RedisConfiguration.Host, about master: String, deadline: MonotonicTime
    ) async throws(RedisError) -> RedisConfiguration.Host {
        var requirements = RedisSession.Requirements()
        requirements.isSentinel = true
        let question = EncodedCommand("SENTINEL", ["get-master-addr-by-name", RedisArgument(master)])
        let who = "Sentinel \(host.description)"
        do throws(RedisError) {
            let reply: RedisValue
            do throws(RedisError) {
                reply = try await ask(host, requirements, question, deadline)
            } catch {
                // One that wants a login gets the same one as the servers.
                guard error.code == "NOAUTH", let login = configuration.login else { throw error }
                requirements.login = login
                reply = try await ask(host, requirements, question, deadline)
            }
            guard let answer = Self.master(in: reply) else {
                throw RedisError(
                    .notSent, .setup,
                    reply == .null ? "it watches no master of that name" : "it gives no address that can be used")
            }
            return answer
        } catch {
            throw RedisError(.notSent, error.reason, code: error.code, "\(who): \(error.message)")
        }
    }

    private func ask(
        _ host: RedisConfiguration.Host, _ requirements: RedisSession.Requirements, _ question: EncodedCommand,
        _ deadline: MonotonicTime
    ) async throws(RedisError) -> RedisValue {
        let session = try await open(host, requirements, deadline: deadline)
        do throws(RedisError) {
            let reply = try await session.run(question, deadline: deadline)
            await session.close()
            return reply
        } catch {
            await session.close()
            throw error
        }
    }

    /// Reads a Sentinel's answer: an address or a name, and a port.
    static func master(in reply: RedisValue) -> RedisConfiguration.Host? {
        guard let parts = reply.array, parts.count == 2, let name = parts[0].string, !name.isEmpty,
            name.utf8.count <= 253, name.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
            let number = parts[1].integer, let port = UInt16(exactly: number), port > 0
        else { return nil }
        return RedisConfiguration.Host(name: name, port: port)
    }
}
