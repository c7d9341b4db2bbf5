"""`python -m deploy.center`: the `concilium-center` command, for programs that start one of its parts."""

from deploy.center.cli import main

if __name__ == "__main__":
    main()
