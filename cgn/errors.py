"""The one error that bad input to the model raises."""


class CgnInputError(ValueError):
    """A value that the model cannot use.

    Attributes:
        field: name of the value at fault, such as ``"label"``.
        description: what is wrong with it, the allowed range and the cure, in one line.
    """

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description
