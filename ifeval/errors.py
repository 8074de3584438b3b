"""What can go wrong, each with the exit code the command line ends with."""

from typing import ClassVar


class IfevalError(Exception):
    """Base of every error this package raises on purpose; the message says what to do."""

    exit_code: ClassVar[int] = 1


class PromptError(IfevalError):
    """A prompt file or an instruction's arguments do not say what to check."""


class ResponseError(IfevalError):
    """A responses file is malformed, or does not fit the prompts."""


class MissingModelError(IfevalError):
    """NLTK's sentence model is not on this machine and could not be fetched."""

    exit_code: ClassVar[int] = 3
