"""Reading the user's files."""


def read_file(reader, path, what):
    """Read a file; MNE stumbles over damaged ones in many ways, which are one to the user.

    Parameters
    ----------
    reader : callable
        MNE's reader.
    path : path-like
        The file.
    what : str
        What it should be, for the message.

    Returns
    -------
    content : object
        What the reader returns.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it can't be read.
    """
    try:
        return reader(path)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read as {what} ({error}).") from error
