import Protocol
import Testing

@testable import Node

struct PrincipalTests {
    private func principal(_ role: Role, _ subject: String = "ann", channel: String? = nil) -> Principal {
        Principal(role: role, subject: subject, channel: channel, expiresAt: nil, isOpenMode: false)
    }

    private func code(_ body: () throws(ClientError) -> Void) -> ErrorCode? {
        do throws(ClientError) {
            try body()
            return nil
        } catch {
            return error.code
        }
    }

    @Test func `hosts and services create campaigns, voters do not`() {
        #expect(code { () throws(ClientError) in try principal(.host).requireCreation() } == nil)
        #expect(code { () throws(ClientError) in try principal(.service).requireCreation() } == nil)
        #expect(code { () throws(ClientError) in try principal(.voter).requireCreation() } == .forbidden)
    }

    @Test func `a campaign is managed by its owner and by services`() {
        func manage(_ principal: Principal, _ owner: String?) -> ErrorCode? {
            code { () throws(ClientError) in try principal.requireManagement(ofOwner: owner) }
        }
        #expect(manage(principal(.host), "ann") == nil)
        #expect(manage(principal(.host), "bob") == .forbidden)
        #expect(manage(principal(.host), nil) == .forbidden)
        #expect(manage(principal(.voter), "ann") == .forbidden)
        #expect(manage(principal(.service), "bob") == nil)
        #expect(manage(.openMode, nil) == nil)
    }

    @Test func `voters vote as themselves, in the channel of their token`() throws {
        let voter = principal(.voter, channel: "north")
        let identity = try voter.voteIdentity(voter: nil, channel: nil, defaultVoter: "eve")
        #expect(identity.voter == "ann" && identity.channel == "north")
        #expect(
            code { () throws(ClientError) in _ = try voter.voteIdentity(voter: "bob", channel: nil, defaultVoter: nil) }
                == .forbidden)
        #expect(
            code { () throws(ClientError) in
                _ = try voter.voteIdentity(voter: "ann", channel: "south", defaultVoter: nil)
            } == .forbidden)
        #expect(
            code { () throws(ClientError) in
                _ = try principal(.voter).voteIdentity(voter: nil, channel: "north", defaultVoter: nil)
            } == .forbidden)
    }

    @Test func `a service votes for anybody, or for nobody`() throws {
        let service = principal(.service)
        #expect(try service.voteIdentity(voter: "bob", channel: "x", defaultVoter: "eve").voter == "bob")
        #expect(try service.voteIdentity(voter: nil, channel: "x", defaultVoter: "eve").voter == "eve")
        #expect(try service.voteIdentity(voter: nil, channel: "x", defaultVoter: nil).voter == nil)
    }
}

struct RateLimiterTests {
    @Test func `a burst passes, then the rate holds`() throws {
        var limiter = MessageRateLimiter(perSecond: 20, burst: 100, at: 0)
        for _ in 0..<100 {
            let wait = limiter.refusal(at: 0)
            #expect(wait == nil)
        }
        let wait = limiter.refusal(at: 0)
        #expect(wait.map { (1...51).contains($0) } == true)
        let early = limiter.refusal(at: 40_000_000)
        #expect(early != nil)
        let later = limiter.refusal(at: 51_000_000)
        #expect(later == nil)
    }

    @Test func `a long absence fills the bucket and no more`() {
        var limiter = MessageRateLimiter(perSecond: 20, burst: 5, at: 0)
        var passed = 0
        for _ in 0..<20 { if limiter.refusal(at: .max / 2) == nil { passed += 1 } }
        #expect(passed == 5)
    }

    @Test func `a clock that steps back gives nothing away`() {
        var limiter = MessageRateLimiter(perSecond: 1, burst: 1, at: 1_000_000_000)
        _ = limiter.refusal(at: 1_000_000_000)
        let wait = limiter.refusal(at: 0)
        #expect(wait != nil)
    }

    @Test func `launches are limited for each principal apart`() {
        let limiter = LocalLaunchLimiter()
        for _ in 0..<20 {
            #expect(limiter.refusal(of: "ann", at: 5) == nil)
            #expect(limiter.take("ann", at: 5) == nil)
        }
        #expect(limiter.take("ann", at: 5)?.code == .rateLimited && limiter.refusal(of: "ann", at: 5) != nil)
        #expect(limiter.take("bob", at: 5) == nil)
        let later = 5 + LocalLaunchLimiter.windowNanoseconds
        #expect(limiter.take("ann", at: later - 1)?.retryAfterMilliseconds == 1)
        #expect(limiter.take("ann", at: later) == nil)
    }

    @Test func `any number of principals takes bounded room`() {
        let limiter = LocalLaunchLimiter()
        for number in 0..<(LocalLaunchLimiter.principalsLimit + 100) {
            #expect(limiter.take("p\(number)", at: 5) == nil)
        }
    }
}
