"""One study on the coordinator's disk: file, directory, checkpoint, history, events."""
