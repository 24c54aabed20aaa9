"""`python -m primectl.recorder`: started by the primectl supervisor."""

from primectl.recorder.run import main

if __name__ == "__main__":
    main()
