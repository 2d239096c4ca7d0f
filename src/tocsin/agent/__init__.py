"""The agent on a host, and the server's end of it: `wire` is what they say to each other."""
