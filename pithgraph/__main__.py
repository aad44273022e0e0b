"""`python -m pithgraph`."""

from pithgraph.cli import main

if __name__ == "__main__":
    main()
