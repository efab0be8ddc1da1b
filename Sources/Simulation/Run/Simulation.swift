// A whole cluster in one thread: the shipped nodes on a seeded world, with people, faults and checks.

/// Runs seeds.
public enum Simulation {
    /// Runs one seed to its end; the same seed gives the same report, in a process whose hash tables are seeded alike
    /// (`SWIFT_DETERMINISTIC_HASHING`).
    ///
    /// - Parameters:
    ///   - plant: a bug to plant.
    ///   - isVerbose: prints each line of the nodes' logs.
    public static func run(seed: UInt64, plant: Plant? = nil, isVerbose: Bool = false) -> SimulationReport {
        var options = ScenarioOptions()
        options.plant = plant
        options.isVerbose = isVerbose
        return Scenario(seed: seed, options).run()
    }
}
