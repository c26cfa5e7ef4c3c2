"""Commands that had another name in the first edition."""

COMMANDS = {"tidy": "remove-leftovers", "mend": "repair-locks"}  # former name -> name
