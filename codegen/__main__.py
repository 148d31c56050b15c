"""`python -m codegen` is the command `retrograd`."""

from codegen.cli import main

if __name__ == "__main__":
    main()
