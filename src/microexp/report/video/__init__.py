"""What `microexp video` shows of each video: tables of its frames and events, and a page."""
