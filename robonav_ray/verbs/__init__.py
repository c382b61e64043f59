"""The verbs of the command line, one file each: it parses, calls one function beneath, prints, and decides on the exit
code.

Consumes: the words of a command.
Produces: text on a screen and an exit code (0 done, 1 failed, 2 the input is wrong, 75 stopped before the end: resume).
Waits for: the one function that it calls.

Only here are screens made, is logging set up and are exit codes decided. Nothing heavy is imported before a verb runs:
each imports what it needs in its function.
"""
