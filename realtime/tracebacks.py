"""What failed is let go of at once, and not by a full collection, which stops every stream."""


def part(error: BaseException | None) -> None:
    """Part an error that is not raised any more, and those it came of, from their frames.

    Error and frames keep each other, with the request and the session; and under many failures collections would come
    often. The frames themselves are left alone: a generator's failure may come from another task of its own, which goes
    on, and to clear the frame of one that is suspended is to close it.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
