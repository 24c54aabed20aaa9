"""`python -m primectl.proxy`: the proxy of one pool, started by the supervisor."""

from primectl.proxy.run import main

if __name__ == "__main__":
    main()
