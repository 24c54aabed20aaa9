"""The handlers of the samples, each a module to copy from: prime, art, files, echo."""
