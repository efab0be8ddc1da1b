// Programs that tests run, and servers of a test's own that the project's scripts start.

import Foundation
import Platform

/// A program ended otherwise than it should.
package struct ProgramFailure: Error {
    package let words: [String]
    package let status: Int32
}

/// Runs a program to its end. Not by `Process`: it waits until every child of the program has ended too, a server that it
/// started included.
package func run(_ words: [String], environment additions: [String: String] = [:]) async throws {
    let environment = ProcessInfo.processInfo.environment.merging(additions) { $1 }.map { "\($0.key)=\($0.value)" }
    let status = await onThread { spawn(words, environment) }
    if status != 0 { throw ProgramFailure(words: words, status: status) }
}

private func spawn(_ words: [String], _ environment: [String]) -> Int32 {
    let program = words[0]
    var words = words.map { strdup($0) } + [nil]
    var environment = environment.map { strdup($0) } + [nil]
    var child = pid_t()
    var status: Int32 = -1
    // A server must hear the signals that this process' threads have blocked.
    var attributes = posix_spawnattr_t()
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_init(&attributes)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    if posix_spawnp(&child, program, nil, &attributes, &words, &environment) == 0 { waitpid(child, &status, 0) }
    posix_spawnattr_destroy(&attributes)
    for word in words + environment { free(word) }
    return status
}

/// A server of a store in a folder of its own, started and ended by a script of `scripts`.
package struct StoreServer: Sendable {
    package let folder: String
    private let script: String

    package init(script name: String) throws {
        var template = Array("/tmp/tumulte-\(name)-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        folder = String(cString: made)
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
        script = root.appendingPathComponent("scripts/\(name)").path
    }

    /// Starts it; again where it was before.
    package func start(_ environment: [String: String]) async throws {
        try await run([script, "start", folder], environment: environment)
    }

    package func stop() async throws { try await run([script, "stop", folder]) }

    /// SIGKILL.
    package func kill() async throws { try await run([script, "kill", folder]) }

    package func remove() { try? FileManager.default.removeItem(atPath: folder) }

    /// What stands alone in a file of the folder.
    package func word(in file: String) throws -> String {
        try String(contentsOfFile: folder + "/" + file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
