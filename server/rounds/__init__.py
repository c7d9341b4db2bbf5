"""The round loop: what is asked, what comes back, how a stage ends."""
