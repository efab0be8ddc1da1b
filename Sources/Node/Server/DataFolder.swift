// The folder of the embedded store: made where it is missing, readable by its owner alone.

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

enum DataFolder {
    /// Makes the folder and those above it; returns why that failed, or `nil`.
    static func create(_ path: String) -> String? {
        var built = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            built += (built.isEmpty || built == "/" ? "" : "/") + part
            guard unsafe mkdir(built, 0o700) != 0, errno != EEXIST else { continue }
            let reason = unsafe String(cString: strerror(errno))
            return "the folder \(built) cannot be made: \(reason)"
        }
        guard unsafe access(path, W_OK) == 0 else {
            let reason = unsafe String(cString: strerror(errno))
            return "the folder \(path) cannot be written: \(reason)"
        }
        return nil
    }
}
