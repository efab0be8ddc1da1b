import Platform
import Protocol
import Testing

@testable import Cluster

@Suite(.timeLimit(.minutes(5)))
struct SlotTests {
    /// Computed by another implementation of SipHash-2-4, which meets the vector of its authors' paper.
    @Test(
        arguments: [
            ("00000000-0000-7000-8000-000000000000", 2249),
            ("ffffffff-ffff-7fff-bfff-ffffffffffff", 540),
            ("0195515a-ee00-7000-8000-000000000001", 48),
            ("0195515a-ee00-7000-8000-000000000002", 47),
            ("0195515a-ee00-7abc-9def-0123456789ab", 1623),
            ("018f3c2a-1b2d-7c3e-a456-426614174000", 3151),
            ("01977420-dc00-7fff-8000-deadbeefcafe", 1928),
            ("0195515a-ee01-7000-8000-000000000001", 742),
        ] as [(String, UInt16)])
    func `a campaign's slot is what every node has always computed`(_ text: String, _ slot: UInt16) throws {
        let id = CampaignID(try #require(UUIDv7(text)))
        #expect(Slot(of: id) == Slot(slot))
    }

    @Test func `the slot is the highest twelve bits of the hash`() {
        #expect(Slot(ofHash: 0) == Slot(0))
        #expect(Slot(ofHash: 0x000F_FFFF_FFFF_FFFF) == Slot(0))
        #expect(Slot(ofHash: 0x0010_0000_0000_0000) == Slot(1))
        #expect(Slot(ofHash: .max) == Slot(4095))
        #expect(Slot.count == 4096)
    }

    @Test func `ids that differ in their last bits alone spread evenly`() {
        let time = Timestamp(milliseconds: 1_740_787_200_000)
        var counts = [Int](repeating: 0, count: Slot.count)
        for number in 0..<100_000 {
            let slot = Slot(of: CampaignID(UUIDv7(at: time, random: UInt128(number))))
            counts[Int(slot.index)] += 1
        }
        let mean = 100_000.0 / Double(Slot.count)
        // Chance alone puts the fullest of 4,096 slots near 1.8 of the mean and the emptiest near 0.3.
        #expect(Double(counts.max() ?? 0) < mean * 2.2)
        #expect(Double(counts.min() ?? 0) > mean * 0.1)
        let spread = counts.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) / mean }
        // Chi-squared with 4,095 degrees of freedom: its standard deviation is about 90.
        #expect(abs(spread - 4095) < 600)
    }

    @Test(arguments: [0, 1, 2048, 4095] as [UInt16])
    func `a drawn id falls into its slot, and is a valid id of its time`(_ number: UInt16) throws {
        let time = Timestamp(milliseconds: 1_740_787_200_123)
        let random = SeededRandom(seed: UInt64(number))
        var seen: Set<CampaignID> = []
        for _ in 0..<3 {
            let id = CampaignID.draw(in: Slot(number), at: time, random: random)
            #expect(Slot(of: id) == Slot(number))
            #expect(UUIDv7(bits: id.uuid.bits) == id.uuid)
            #expect(Int64(id.uuid.bits >> 80) == time.milliseconds)
            seen.insert(id)
        }
        #expect(seen.count == 3)
    }

    @Test func `the same seed draws the same id`() {
        let time = Timestamp(milliseconds: 1_740_787_200_000)
        let first = CampaignID.draw(in: Slot(77), at: time, random: SeededRandom(seed: 5))
        #expect(CampaignID.draw(in: Slot(77), at: time, random: SeededRandom(seed: 5)) == first)
        #expect(CampaignID.draw(in: Slot(77), at: time, random: SeededRandom(seed: 6)) != first)
    }

    @Test func `the sole owner has every slot`() {
        let directory = SoleOwnerDirectory()
        #expect(directory.home.count == Slot.count)
        #expect(Set(directory.home).count == Slot.count)
        #expect(directory.home.allSatisfy { directory.owner(of: $0) == .local })
    }
}
