"""Schedules of jobs and `cron_restart`."""
