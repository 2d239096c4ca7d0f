"""The corridor every result walks: scheduler, runner, intake, delivery, live, watchdog, housekeeping."""
