"""A test kit: whole clusters of members on virtual time, with faults."""
