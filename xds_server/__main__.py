"""Run with `python -m xds_server`."""

from xds_server.cli import main

if __name__ == "__main__":
    main()
