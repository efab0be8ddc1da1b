import Testing

@testable import Postgres

@Suite struct ConfigurationTests {
    @Test func `a URI is taken apart and every option kept`() throws {
        let configuration = try PostgresConfiguration(
            "postgres://ann:s3cret@db.example:6432/votes?sslmode=verify-full&sslrootcert=/ca.pem&application_name=a%20b"
        )
        #expect(configuration.hosts == [.init(name: "db.example", address: "", port: "6432")])
        let options = Dictionary(uniqueKeysWithValues: configuration.options.map { ($0.keyword, $0.value) })
        #expect(options["user"] == "ann")
        #expect(options["password"] == "s3cret")
        #expect(options["dbname"] == "votes")
        #expect(options["sslmode"] == "verify-full")
        #expect(options["sslrootcert"] == "/ca.pem")
        #expect(options["application_name"] == "a b")
        #expect(configuration.description == "postgres://ann@db.example:6432/votes")
    }

    @Test func `the form with keywords is taken, sockets need no resolving`() throws {
        let configuration = try PostgresConfiguration("host=/run/postgresql user=ann dbname=votes")
        #expect(configuration.hosts.map(\.needsResolving) == [false])
        #expect(configuration.hosts.map(\.port) == ["5432"])
        #expect(try PostgresConfiguration("host=x hostaddr=10.0.0.1").hosts.map(\.needsResolving) == [false])
    }

    @Test func `of several hosts the one that takes writes is wanted`() throws {
        let configuration = try PostgresConfiguration("postgres://ann@a:1,b:2,[::1]:3/votes")
        #expect(configuration.hosts.map(\.port) == ["1", "2", "3"])
        #expect(configuration.hosts.map(\.name) == ["a", "b", "::1"])
        #expect(configuration.options.contains { $0 == ("target_session_attrs", "read-write") })
        let parameters = configuration.parameters(for: configuration.hosts[1])
        #expect(parameters.contains { $0 == ("host", "b") })
        #expect(parameters.contains { $0 == ("port", "2") })
    }

    @Test(arguments: [
        "", "  ", "nonsense", "postgres://u:hunter2@[::1/db", "postgres://u:hunter2%zz@h/db",
        "postgres://u:hunter2@h:0/db",
        "postgres://u:hunter2@h:99999/db", "postgres://u:hunter2@h/db?sslmod=require", "password=hunter2 hunter2=3",
        "password='hunter2", "postgres://h/db?hunter2", "postgres://u:hunter2@h/db?sslmode=hunter2",
        "host=a,b port=1,2,3 password=hunter2", "host=a hostaddr=10.0.0.1,10.0.0.2 password=hunter2",
        "service=hunter2", "postgres://u:hunter2@[]/db", "host=h target_session_attrs=hunter2",
        "mysql://u:hunter2@h/db",
        "postgres://u:hunter2@h:12x/db", "hunter2\0", "postgres://u:p@1,2,3,4,5,6,7,8,9/hunter2",
    ])
    func `nonsense is refused in one line that keeps the password to itself`(_ text: String) {
        let error = #expect(throws: PostgresError.self) { try PostgresConfiguration(text) }
        #expect(error?.reason == .configuration)
        #expect(error?.description.contains("hunter2") == false)
        #expect(error?.description.contains("\n") == false)
    }
}
