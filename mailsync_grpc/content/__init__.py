"""Message content on demand: fetched in windows, shared by callers, cached encrypted on disk, decoded while streamed."""
