// Who may ask about placement, and wish for something: every route, with and without the admin token.

import Platform
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(2)))
struct AdminAccessTests {
    private static let id = "01a1fcac-f495-72d8-ae10-2c4de5f3e0ff"

    /// Every route, with its body.
    private static let routes = [
        ("GET", "/placement"), ("GET", "/placement/slots/1"), ("GET", "/placement/slots/1/timeline"),
        ("GET", "/placement/plan"), ("GET", "/placement/diff"), ("GET", "/placement/campaigns/\(id)"),
        ("POST", "/nodes/a/drain"), ("DELETE", "/nodes/a/drain"), ("POST", "/placement/pins/\(id)"),
        ("DELETE", "/placement/pins/\(id)"), ("POST", "/campaigns/\(id)/verify"),
    ]

    @Test(arguments: routes)
    func `a forwarded request without an admin token is refused`(method: String, path: String) async throws {
        try await withLiveNode { address in
            let client = try LiveClient(address)
            try client.send(
                client.request(
                    method, "/admin" + path, method == "POST" ? #"{"node":"a"}"# : nil,
                    more: "X-Forwarded-For: 10.0.0.1\r\n"))
            let answer = try client.answer()
            try expect(answer.status == 403 && answer.body.contains("forbidden"), answer.head)
        }
    }

    /// Without one 401, with another 403.
    @Test(arguments: routes)
    func `where there is an admin token, a request without it or with another is refused`(method: String, path: String)
        async throws
    {
        try await withLiveNode(adminToken: "the-admins-own-token") { address in
            let client = try LiveClient(address)
            let body = method == "POST" ? #"{"node":"a"}"# : nil
            func answer(_ token: String?) throws -> LiveAnswer {
                let more = token.map { "Authorization: Bearer \($0)\r\n" } ?? ""
                try client.send(client.request(method, "/admin" + path, body, more: more))
                return try client.answer()
            }
            let none = try answer(nil)
            try expect(none.status == 401 && none.body.contains("unauthorized"), none.head)
            let wrong = try answer("another-token-as-long")
            try expect(wrong.status == 403 && wrong.body.contains("forbidden"), wrong.head)
            let right = try answer("the-admins-own-token")
            try expect(![401, 403].contains(right.status), right.head)
        }
    }
}
