"""The whole contract, by an independent client: each test has a node of its own. Parts live in scenario_*.py."""

import suite
import scenario_campaigns  # noqa: F401
import scenario_votes  # noqa: F401
import scenario_sockets  # noqa: F401
import scenario_streams  # noqa: F401
import scenario_tokens  # noqa: F401
import scenario_binary  # noqa: F401
import scenario_wire  # noqa: F401
import scenario_operation  # noqa: F401

if __name__ == "__main__":
    suite.run(suite.parser("scenario").parse_args().only, parallel=3)
