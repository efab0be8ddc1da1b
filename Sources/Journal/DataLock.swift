// One process per data folder: an flock on `tumulte.lock`, which the kernel drops with the process, however it ends.

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Holds a data folder for this process until it is deinitialised.
public final class DataLock: Sendable {
    private let descriptor: Int32

    /// Locks `folder`, which must exist. Throws `locked` with the other process's id, or `io`.
    public init(folder: String) throws(JournalError) {
        let path = folder + "/tumulte.lock"
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let reason = unsafe String(cString: strerror(errno))
            throw errno == EROFS || errno == EACCES
                ? .readOnly("opening \(path): \(reason)") : .io("opening \(path): \(reason)")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var text = [UInt8](repeating: 0, count: 20)
            let count = unsafe read(descriptor, &text, text.count)
            _ = Glibc.close(descriptor)
            let digits = String(decoding: text.prefix(max(0, count)), as: UTF8.self)
            throw .locked(path: folder, pid: Int(digits.prefix { $0.isNumber }))
        }
        let pid = Array("\(getpid())\n".utf8)
        _ = ftruncate(descriptor, 0)
        _ = unsafe pwrite(descriptor, pid, pid.count, 0)
        self.descriptor = descriptor
    }

    deinit { _ = Glibc.close(descriptor) }
}
