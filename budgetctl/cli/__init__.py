"""The command line: one file per command that parses, calls and prints. Nothing heavy is imported at a top."""
