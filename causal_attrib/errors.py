"""The one error that is the user's to mend."""


class InputError(ValueError):
    """Bad input or bad usage: the message is one sentence that says what is wrong and what to do.

    The command line prints it and exits with code 2. Everything else that is raised is a fault of ours. Control
    characters and half characters, which names of strangers' files may hold, are escaped, so that it stays one line.
    """

    def __init__(self, message: str) -> None:
        escaped = (one if one.isprintable() else one.encode("unicode_escape").decode() for one in message)
        super().__init__(message if message.isprintable() else "".join(escaped))
