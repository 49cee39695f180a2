"""What a worker needs of a scorer, without a model: a new process has it at once."""

import os
import signal

from causal_attrib.errors import InputError


class Counts:
    """Counts letters, and dies of a group with "kills" in it."""

    record = {"device": "cpu"}

    def score(self, group):
        if "kills" in group:
            os.kill(os.getpid(), signal.SIGKILL)
        return [{"letters": len(row), "by": os.getpid()} for row in group]


def no_model():
    raise InputError("There is no model here.")
