/// The version of this build.
public enum Version {
    /// As `tumulte version` prints it.
    public static let current = "0.1.0"
}
