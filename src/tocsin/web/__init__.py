"""The HTTP edge of a server: routes, sign-in, pages, live events.
Translates outside words into ours, decides nothing."""
