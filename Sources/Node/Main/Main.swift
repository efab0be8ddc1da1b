internal import Node
internal import Platform

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

@main
struct Main {
    static func main() async {
        let configuration: NodeConfiguration
        do {
            configuration = try NodeConfiguration.load(
                environment: ProcessFacts.environment, cores: ProcessFacts.cores, hostName: ProcessFacts.hostName,
                isTerminal: ProcessFacts.isTerminal, readFile: ProcessFacts.readFile)
        } catch {
            print("\(error)")
            exit(78)
        }
        exit(await NodeMain.run(configuration))
    }
}
