"""The error that bad input to the model raises, and how torch reports that memory is exhausted."""


class CgnInputError(ValueError):
    """An input value that the model cannot use.

    Attributes:
        field: name of the faulty value, such as ``"label"``.
        description: the fault, the allowed range and the cure, in one line.
    """

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description


def is_host_out_of_memory(error: BaseException) -> bool:
    """Whether Python or torch raised an error because the machine's memory, not a GPU's, is exhausted.

    torch has no exception class for this; only the name of its allocator in the text identifies it.
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
