// The program: everything it does is in `Node`.

internal import Node
internal import Platform
internal import Simulation

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

@main
struct Main {
    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        exit(
            await CommandLineTool.run(arguments, environment: ProcessFacts.environment) {
                SimulationCommand.run($0, arguments: CommandLine.arguments)
            })
    }
}
