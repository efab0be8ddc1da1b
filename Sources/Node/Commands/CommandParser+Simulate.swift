// `tumulte simulate`: which seeds, and how.

extension CommandParser {
    mutating func simulate() throws(UsageError) -> ParsedCommand {
        var request = SimulationRequest()
        while let option = rest.popFirst() {
            switch option {
            case "--seeds": request.count = try number(of: option)
            case "--first": request.first = try number(of: option)
            case "--threads": request.threads = Int(try number(of: option))
            case "--plant": request.plant = try value(of: option)
            case "--twice": request.isTwice = true
            case "--verbose": request.isVerbose = true
            default: throw unknown(option)
            }
        }
        return .simulate(request)
    }

    private mutating func number(of option: String) throws(UsageError) -> UInt64 {
        guard let number = UInt64(try value(of: option)), (1...1_000_000_000).contains(number) else {
            throw UsageError(message: "\(option) takes a number of 1 to 1000000000", command: command)
        }
        return number
    }
}
