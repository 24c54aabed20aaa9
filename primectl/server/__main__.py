"""`python -m primectl.server`: one HTTP server process, started by the supervisor."""

from primectl.server.run import main

if __name__ == "__main__":
    main()
