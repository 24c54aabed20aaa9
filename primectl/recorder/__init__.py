"""The recorder: a process that takes what servers say of each request and writes it to the journal.

It may be slow, die or lack a disk: servers then drop what they have no room for, and count it.
"""
