"""`python -m primectl.worker`: one worker with an interpreter of its own (`spawn = "exec"`)."""

from primectl.worker.run import main

if __name__ == "__main__":
    main()
