"""What serves a page to a browser: one-time token and session, guarded answers, parts that update themselves."""
