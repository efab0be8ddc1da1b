import Testing

@testable import Redis

@Suite struct ConfigurationTests {
    @Test(arguments: [
        ("redis://localhost", "localhost", 6379, nil, nil, 0, "redis://localhost:6379/0"),
        ("redis://10.0.0.1:7000/", "10.0.0.1", 7000, nil, nil, 0, "redis://10.0.0.1:7000/0"),
        ("redis://[::1]:7000/3", "::1", 7000, nil, nil, 3, "redis://[::1]:7000/3"),
        ("redis://[fe80::1]", "fe80::1", 6379, nil, nil, 0, "redis://[fe80::1]:6379/0"),
        ("redis://:s3cret@db.example", "db.example", 6379, nil, "s3cret", 0, "redis://db.example:6379/0"),
        ("redis://ann:s3cret@db_1:1/15", "db_1", 1, "ann", "s3cret", 15, "redis://ann@db_1:1/15"),
        ("REDIS://ann:p%40%3A%2F%25@h/1", "h", 6379, "ann", "p@:/%", 1, "redis://ann@h:6379/1"),
        ("redis://ann:a@b:c@h", "h", 6379, "ann", "a@b:c", 0, "redis://ann@h:6379/0"),
        ("redis://ann:%C3%A9@h", "h", 6379, "ann", "é", 0, "redis://ann@h:6379/0"),
        ("redis://@h", "h", 6379, nil, nil, 0, "redis://h:6379/0"),
        ("redis://:@h:65535/999999999", "h", 65535, nil, nil, 999_999_999, "redis://h:65535/999999999"),
    ])
    func `a URL is taken apart`(
        _ text: String, _ name: String, _ port: UInt16, _ user: String?, _ password: String?, _ database: Int32,
        _ description: String
    ) throws {
        let configuration = try RedisConfiguration(text)
        #expect(configuration.place == .direct(.init(name: name, port: port)))
        #expect(configuration.login?.user == user)
        #expect(configuration.login?.password == password)
        #expect(configuration.database == database)
        #expect(configuration.description == description)
    }

    @Test func `Sentinels and the name of their master are taken apart`() throws {
        let configuration = try RedisConfiguration("redis+sentinel://ann:s3cret@a:1,b,[::1]:3/main/2")
        #expect(
            configuration.place
                == .sentinels(
                    [.init(name: "a", port: 1), .init(name: "b", port: 26379), .init(name: "::1", port: 3)],
                    master: "main"))
        #expect(configuration.login?.password == "s3cret")
        #expect(configuration.database == 2)
        #expect(configuration.description == "redis+sentinel://ann@a:1,b:26379,[::1]:3/main/2")
        #expect(
            try RedisConfiguration("redis+sentinel://a/my%20master").place
                == .sentinels([.init(name: "a", port: 26379)], master: "my master"))
    }

    @Test func `neither printing nor dumping a configuration shows the password`() throws {
        let configuration = try RedisConfiguration("redis://ann:hunter2@h")
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in [dumped, "\(configuration)", String(reflecting: configuration), "\(configuration.login as Any)"] {
            #expect(!text.contains("hunter2"))
        }
        #expect(dumped.contains("ann"))
    }

    @Test(.enabled(if: !HiredisTLS.isThere, "hiredis has TLS here"))
    func `TLS is refused in one line that says why`() {
        for text in ["rediss://u:hunter2@h", "rediss+sentinel://u:hunter2@h/m"] {
            let error = #expect(throws: RedisError.self) { try RedisConfiguration(text) }
            #expect(error?.message.contains("TLS") == true && error?.message.contains("hiredis") == true)
            #expect(error?.reason == .configuration)
        }
    }

    @Test(arguments: [
        "", " ", "hunter2", "redis:", "redis:/", "redis://", "redis:///0", "://hunter2", "http://u:hunter2@h",
        "redis://hunter2@h", "redis://hunter2:@h", "redis://u:hunter2@", "redis://u:hunter2@:6379",
        "redis://u:hunter2@h:", "redis://u:hunter2@h:0", "redis://u:hunter2@h:65536", "redis://u:hunter2@h:-1",
        "redis://u:hunter2@h:+1", "redis://u:hunter2@h:1x", "redis://u:hunter2@h:99999999999999999999",
        "redis://u:hunter2@h/x", "redis://u:hunter2@h/-1", "redis://u:hunter2@h/1/2", "redis://u:hunter2@h/ 1",
        "redis://u:hunter2@h/9999999999", "redis://u:hunter2@h?db=1", "redis://u:hunter2@h#x",
        "redis://u:hunter2/x@h", "redis://u:hunter2?@h", "redis://u:hunter2%@h", "redis://u:hunter2%4@h",
        "redis://u:hunter2%zz@h", "redis://u:hunter2%00@h", "redis://u:hunter2%FF@h", "redis://u:hunter2@h\0",
        "redis://u:hunter2@h\r\nFLUSHALL", "redis://u:hunter2@a,b", "redis://u:hunter2@h%41", "redis://u:hunter2@[::1",
        "redis://u:hunter2@[::1]x", "redis://u:hunter2@[h]", "redis://u:hunter2@[]", "redis://u:hunter2@::1",
        "redis://u:hunter2@é", "redis+sentinel://u:hunter2@h", "redis+sentinel://u:hunter2@h/",
        "redis+sentinel://u:hunter2@h//0", "redis+sentinel://u:hunter2@h,/m", "redis+sentinel://u:hunter2@,h/m",
        "redis+sentinel://u:hunter2@/m", "redis+sentinel://u:hunter2@h/m/0/1", "redis+sentinel://u:hunter2@h/m%",
        "redis+sentinel://u:hunter2@1,2,3,4,5,6,7,8,9/m",
    ])
    func `nonsense is refused in one line that keeps the password to itself`(_ text: String) {
        let error = #expect(throws: RedisError.self) { try RedisConfiguration(text) }
        #expect(error?.reason == .configuration)
        #expect(error?.outcome == .notSent)
        #expect(error?.description.contains("hunter2") == false)
        #expect(error?.description.contains("\n") == false)
    }

    @Test func `a host or a URL that is too long is refused`() throws {
        _ = try RedisConfiguration("redis://" + String(repeating: "h", count: 253))
        for count in [254, 5_000] {
            #expect(throws: RedisError.self) {
                try RedisConfiguration("redis://" + String(repeating: "h", count: count))
            }
        }
        #expect(throws: RedisError.self) {
            try RedisConfiguration("redis://:\(String(repeating: "x", count: 4_096))@h")
        }
    }

    @Test func `every prefix and every changed byte is parsed or refused, never more`() throws {
        let whole = "redis+sentinel://ann:p%40ss@a:1,[::1]:3/main/2"
        let bytes = Array(whole.utf8)
        for count in 0..<bytes.count {
            let prefix = String(decoding: bytes.prefix(count), as: UTF8.self)
            if let parsed = try? RedisConfiguration(prefix) {
                #expect(parsed.description.hasPrefix("redis+sentinel://ann@a:1"))
            }
        }
        for position in bytes.indices {
            for byte in UInt8(0)...127 {
                var changed = bytes
                changed[position] = byte
                guard let parsed = try? RedisConfiguration(String(decoding: changed, as: UTF8.self)) else { continue }
                #expect(!parsed.description.contains("p@ss"))
            }
        }
    }
}
