"""The vendors' HTTP API, the faults it can have, and the callbacks it makes."""
