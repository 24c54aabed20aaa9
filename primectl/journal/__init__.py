"""Step 9: recorded requests: kept, found again, shown, handed over to others, and sent again.

capture     redact      what shall not be written down is replaced by a keyed hash
            key       § the cluster's key for that
            entry       a server's Record -> Row, Entry
            heard       how far each server's run was heard
            store     § SQLite: open, migrate, append, prune
reading     where       the filter language -> SQL
            archive   § list, show, hand out
            follow    § what is written from now on
handing on  sets        JSONL, the format of saved sets
            har, curl   other people's formats
replay      steps       what a replay is made of: Plan, Step, Outcome
            plan        entries and wishes -> Plan
            fill        values in the place of what was redacted
            editing     a request as a text for an editor, and back
            pace        when each step is due
            brake       when to stop
            resume    § what was sent, for a run that goes on later
            sender    § sends the steps
            compare     the answer then and now; jsondiff, textdiff: two bodies
            report      what came of a run
"""
