"""The `copo` command: one small file per subcommand. Each parses, calls the library and prints; no science here.

Nothing heavier than typer is imported before a command runs, so that `copo --help` answers at once.
"""
