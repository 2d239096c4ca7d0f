"""Pure data and decisions: facts and `now` in, next state and reason out. No I/O, clock, randomness or logging."""
