"""`python -m metapix` is the `metapix` command."""

from metapix.cli import main

main()
