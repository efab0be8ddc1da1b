// What `--help` says.

enum Usage {
    static let program = """
        tumulte: a realtime server for live campaigns and polls

        usage: tumulte COMMAND [options]

          node       serve
          migrate    create or upgrade the store's schema
          check      validate the configuration and reach the stores
          token      make a client token
          placement  show the nodes, their slots, and what is on its way
          where      tell where a campaign is, and why
          plan       tell what would move if nodes came or went
          drain      let a node give its slots away, or take it back
          pin        fix the slot of a campaign to a node
          unpin      set it free again
          timeline   show who has had a slot
          diff       compare what the database, Redis and the nodes say of placement
          verify     compare a live campaign with a replay of its journal
          simulate   run a cluster in one thread, in virtual time, with faults, and check it
          repair     give up damaged rows of the journal, offline
          health     ask a node whether it lives; for container health checks
          version    print the version

        Configuration comes from environment variables: see docs/CONFIGURATION.md.
        Exit status: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration.
        `tumulte COMMAND --help` tells more.
        """

    private static let commands: [String: String] = [
        "node": """
        usage: tumulte node

        Serves until SIGTERM or SIGINT, then drains: clients are told to reconnect, what is in flight is answered.
        A second signal stops at once.
        """,
        "migrate": """
        usage: tumulte migrate

        Creates the store in TUMULTE_DATA, or brings its schema up to date. Safe to repeat. The node does the same
        at its start.
        """,
        "check": """
        usage: tumulte check

        Prints the configuration in force (secrets only as "set"), reaches the stores and looks whether the
        addresses are free.
        """,
        "token": """
        usage: tumulte token --sub ID [--role voter|host|service] [--channel NAME] [--ttl 1h]

        Prints a client token signed with TUMULTE_TOKEN_SECRET. --ttl takes 90s, 15m, 12h, 7d.
        """,
        "verify": """
        usage: tumulte verify CAMPAIGN [--url http://127.0.0.1:8080] [--admin-token TOKEN] [--json]

        Lets a running node replay the campaign's journal and compare the result with the live state. The admin
        token may also come from TUMULTE_ADMIN_TOKEN. Exit status 1 where they differ.
        """,
        "placement": """
        usage: tumulte placement [--url http://127.0.0.1:8080] [--admin-token TOKEN] [--json]

        Asks a running node for the nodes, their slots, campaigns in memory and connections, and the slots that are
        on their way. The admin token may also come from TUMULTE_ADMIN_TOKEN.
        """,
        "where": """
        usage: tumulte where CAMPAIGN [--url http://127.0.0.1:8080] [--admin-token TOKEN] [--json]

        Tells which slot and node a campaign has, since when, and why, and what its owner knows of it.
        """,
        "drain": """
        usage: tumulte drain NODE [--back] [--url http://127.0.0.1:8080] [--admin-token TOKEN] [--json]

        The node gives its slots to the others and stays up without any, not ready for new clients, until it is taken
        back with --back or its process is started again. Any node may be asked.
        """,
        "pin": """
        usage: tumulte pin CAMPAIGN NODE [--url http://127.0.0.1:8080] [--admin-token TOKEN] [--json]

        Fixes the campaign's slot, with every other campaign in it, to a node, as long as that one lives and takes
        slots. It counts against the node's share.
        """,
        "unpin": """
        usage: tumulte unpin CAMPAIGN [--url http://127.0.0.1:8080] [--admin-token TOKEN] [--json]

        Sets the campaign's slot free. It stays where it is as long as its node has no more than its share.
        """,
        "plan": """
        usage: tumulte plan [--join NAME[:WEIGHT]] [--leave NAME] [--drain NAME]
                            [--url http://127.0.0.1:8080] [--admin-token TOKEN] [--json]

        Tells which slots would move if nodes came, were gone at once, or gave their slots away. Each option may be
        repeated. Nothing is done.
        """,
        "timeline": """
        usage: tumulte timeline SLOT [--url http://127.0.0.1:8080] [--admin-token TOKEN] [--json]

        Shows the newest 1,000 changes of hands of a slot, the oldest of them first: a claim of a slot that nobody had,
        a hand-off in good order, a crash of the node before; and for how long nobody served it.
        """,
        "diff": """
        usage: tumulte diff [--url http://127.0.0.1:8080] [--admin-token TOKEN] [--json]

        Compares who owns which slot in the database, in Redis and as the node sees it, and which slots the nodes say
        that they serve; names nodes that do not answer or know an old table. Exit status 1 where they differ; while
        slots move that is nothing bad.
        """,
        "simulate": """
        usage: tumulte simulate [--seeds 200] [--first 1] [--threads 2] [--twice] [--verbose] [--plant NAME]

        Runs three nodes, a database and a network in this process for each seed, lets them crash, stand still and be
        cut off, and checks what clients are told. A seed always gives the same run; --twice looks whether it does,
        --verbose prints it. --plant plants a bug: ack-before-commit, for-key-share, event-skipped-on-resume or
        timer-lost-at-hand-off. Nothing outside the process is touched. Exit status 1 where something is wrong.
        """,
        "repair": """
        usage: tumulte repair --slot N --keep-through LSN

        With the node stopped: moves the rows of a slot after LSN into the table journal_quarantine, so that the
        slot can be served again. The log of a node that refuses a slot names both numbers, and what is lost.
        """,
        "health": """
        usage: tumulte health [--url http://127.0.0.1:8080]

        Exit status 0 once the node has been ready, as long as it answers. An outage of a store does not change that.
        """,
        "version": """
        usage: tumulte version

        Prints the version.
        """,
    ]

    /// The usage of one command; `nil` where there is none of that name.
    static func of(_ command: String) -> String? { commands[command] }
}
