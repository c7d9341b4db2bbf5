"""`python -m client`: the `concilium-center` command, for programs that start one of its parts."""

from client.cli.app import main

if __name__ == "__main__":
    main()
