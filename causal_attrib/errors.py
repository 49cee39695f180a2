"""The one error that is the user's to mend."""


class InputError(ValueError):
    """Bad input or bad usage: the message is one sentence that says what is wrong and what to do.

    The command line prints it and exits with code 2. Everything else that is raised is a fault of ours.
    """
