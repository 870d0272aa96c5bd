"""`python -m diffcodec`: the command."""

from .cli.main import main

if __name__ == "__main__":
    main()
