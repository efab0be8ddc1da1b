// Which slot a campaign belongs to. Every node must agree on it for ever, so the hash, its key and the shift are fixed
// and pinned by test vectors; changing any of them is a new version of the slot function and moves every campaign.
//
//   slot = SipHash-2-4(key, the id's 16 bytes, big-endian) >> 52

public import Platform
public import Protocol

extension Slot {
    /// The key of the slot function. It keeps nothing secret: it only separates this use of the hash from others.
    static let functionKey: [UInt8] = Array("tumulte slot v1.".utf8)

    /// The slot of a campaign.
    public init(of campaign: CampaignID) {
        self.init(ofHash: SipHash.hash64(campaign.uuid.bits, key: Self.functionKey))
    }

    /// The slot of something that is hashed already.
    public init(ofHash hash: UInt64) { self.init(UInt16(hash >> 52)) }
}

extension CampaignID {
    /// Draws ids until one falls into `slot`: about 4,096 draws, so that a key and the campaign that it creates can be
    /// committed together.
    public static func draw(in slot: Slot, at time: Timestamp, random: any RandomSource) -> CampaignID {
        while true {
            let id = CampaignID(UUIDv7(at: time, random: random.next128()))
            if Slot(of: id) == slot { return id }
        }
    }
}
