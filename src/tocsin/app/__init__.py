"""The parts put together: the only place that chooses concrete ones."""
