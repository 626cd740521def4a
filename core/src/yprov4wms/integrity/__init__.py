"""Whether a record, and the files that it tells of, are still what they were: `verify`."""
